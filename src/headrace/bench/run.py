"""A run as it is kept: its plan, its answers, the samples beside them, in one folder.

`run.json` says what was asked for and on what, `requests.jsonl` has the answers, `metrics.jsonl`
the samples, `summary.json` the figures, `report.html` the page.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from headrace.bench.answers import Answer
from headrace.bench.samples import Sample


class About(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What a run was of; everything a reader needs to repeat it.

    `load` and `workload` are the settings in words a program reads (rate, arrivals, concurrency,
    shapes, seed, …). `slo` has `ttft` and `tpot` in seconds where promised. `interrupted` says that
    it was ended early. `clients` is how many processes sent.
    """

    name: str
    address: str
    model: str
    began: str
    """UTC, ISO 8601."""
    seconds: float = 0.0
    clients: int = 1
    ahead: bool = False
    """Whether these went before all other work of their machine."""
    load: dict[str, Any] = {}
    workload: dict[str, Any] = {}
    slo: dict[str, float] = {}
    interrupted: bool = False
    lost: list[str] = []
    """A sentence for each sender that died, and took its requests with it."""
    trouble: list[str] = []
    """What else went wrong with the run itself, in sentences, such as a full disk."""
    setting: dict[str, Any] = {}
    """What served: fingerprint fields (`headrace.evidence`) where they are known."""


@dataclass
class Run:
    """A whole run in memory; answers in the order of their numbers."""

    about: About
    answers: list[Answer] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)

    @property
    def counted(self) -> list[Answer]:
        """The answers without those of the warm-up."""
        return [one for one in self.answers if not one.warmup]

    @property
    def by_due(self) -> list[Answer]:
        """Those that count, in the order in which they were due."""
        return sorted(self.counted, key=lambda one: (one.due, one.number))
