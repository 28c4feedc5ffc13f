"""What a run was asked to be, read from its `run.json`: the parts that its judgement needs.

A run made elsewhere may say less, or nothing that is known here; then nothing is asked, and nothing
is held against it.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from headrace.bench.load import Load
from headrace.bench.run import About
from headrace.bench.workload_order import WorkloadOrder
from headrace.traffic.arrivals import Arrivals, Ramp, Replay, Steps

T = TypeVar("T", bound=msgspec.Struct)


def load_of(about: About) -> Load:
    """Return how it was sent; as far as it says so."""
    return _read(about.load, Load)


def order_of(about: About) -> WorkloadOrder:
    """Return what it was to consist of; as far as it says so."""
    return _read(about.workload, WorkloadOrder)


def arrivals_of(about: About) -> Arrivals | None:
    """Return the arrivals of an open loop; None for a closed one, or where nobody says."""
    return None if is_closed(about) else order_of(about).arrivals


def is_closed(about: About) -> bool:
    """Whether clients waited for their answers before they sent again."""
    return bool(load_of(about).concurrency)


def is_batched(about: About) -> bool:
    """Whether answers were handed over by the batch, the first when the last of it was done."""
    return "batch" in about.load


def is_steady(about: About) -> bool:
    """Whether the load was to be the same all along."""
    return not (is_batched(about) or isinstance(arrivals_of(about), Ramp | Steps | Replay))


def shares_prompts(about: About) -> bool:
    """Whether prompts may begin alike: then a cache may be hit without anything being wrong."""
    order = order_of(about)
    return bool(order.prefix or order.sessions or order.trace or order.file) or not order.shapes


def _read(found: dict[str, Any], kind: type[T]) -> T:
    """Return what can be read; an unreadable field counts as not said."""
    read: dict[str, Any] = {}
    for field in msgspec.structs.fields(kind):
        if field.name in found:
            try:
                read[field.name] = msgspec.convert(found[field.name], field.type)
            except msgspec.ValidationError:
                continue
    return kind(**read)
