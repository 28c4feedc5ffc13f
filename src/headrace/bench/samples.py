"""What engine and gateway say of themselves while a run lasts: a line of `metrics.jsonl`."""

from __future__ import annotations

import msgspec


class Sample(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One look at one metrics page, `at` seconds from the run's beginning.

    `source` is `gateway`, `engine:<replica or address>`, or `client` (the load generator's own
    processes: `cpu` as share of a core, `lag` of its event loop in seconds). `values` are by
    canonical name (`engines.metrics.CANONICAL`; a histogram as `<name>_sum` and `<name>_count`), of
    the gateway by its own metric names with labels. A name that the page does not have is absent,
    never 0. `error` says why a page could not be read. `new` is the first look at an engine that
    came after the run's beginning: what its counters show was added since.
    """

    at: float
    source: str
    values: dict[str, float] = {}
    error: str = ""
    new: bool = False
