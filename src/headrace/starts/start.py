"""One start of a replica, as it is kept: what was started, where, how long each phase took.

The runtimes record every real start (`headrace.local`, `headrace.kubernetes`), those that failed
included; `ledger.py` keeps them, `summary.py` makes percentiles of them.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

import msgspec

Runtime = Literal["local", "kubernetes"]
Outcome = Literal["ready", "failed", "stopped"]

PHASES = (
    "schedule",
    "volume",
    "image",
    "environment",
    "weights",
    "start",
    "import",
    "load",
    "kv cache",
    "warm-up",
    "serve",
    "known prompt",
)
"""All phases in the order in which they come; which of them a start has depends on its runtime.

`schedule`, `volume` and `image` are Kubernetes'. `environment` and `weights` are what had to be
there first: on one machine once for each `headrace up`, in a cluster for each Pod. `start` stands
for all of an engine's own phases where nobody could read its log. `known prompt` ends with the
right answer: the replica is ready.
"""
PREPARATION = frozenset({"environment", "weights"})
"""Phases that a machine goes through before its replicas start, and not for each of them."""


class Start(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A start from the decision to its end; seconds by phase, in the order in which they came.

    `id` tells it from all others. `began` is UTC, ISO 8601. `hardware` is the accelerator's name,
    or `cpu`. A twin's start is `emulated`, and never counted with real ones.
    """

    id: str
    deployment: str
    runtime: Runtime
    began: str
    outcome: Outcome
    phases: dict[str, float] = {}
    ended_in: str = ""
    """The phase in which a start ended that did not get ready."""
    why: str = ""
    """Why it failed, in a line."""
    engine: str
    version: str
    model: str
    weights: str = ""
    """The digest of the weights, where the lock file has one."""
    hardware: str
    emulated: bool = False
    quick: bool = False
    """Whether the engine's processes shared one import (`headrace.engines.vllm_quick`)."""
    fetched: bool | None = None
    """Whether the weights were fetched for it (False: they were there; None: not known)."""
    resident: float | None = None
    """The share of the weights that was in the page cache when it began."""
    beside: int = 0
    """Other replicas of the fleet that were starting when it began."""
    busy: int = 0
    """Replicas of the fleet that had requests in flight when it began."""
    restart: bool = False
    """Whether a replica in its place had been started before, and ended."""

    @property
    def total(self) -> float:
        """Seconds of all phases."""
        return sum(self.phases.values())

    @property
    def lead(self) -> float:
        """Seconds from the wish for one more replica to its readiness, which scaling waits for.

        On one machine what had to be there first is not part of it: it is there by then.
        """
        if self.runtime == "kubernetes":
            return self.total
        return sum(took for name, took in self.phases.items() if name not in PREPARATION)


def utc(unix: float) -> str:
    """Write a Unix time as `began`, by which starts are ordered, so that all write it alike."""
    text = datetime.fromtimestamp(unix, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def in_order(phases: dict[str, float]) -> dict[str, float]:
    """Return phases in the order in which they come; unknown ones last."""
    known = {name: phases[name] for name in PHASES if name in phases}
    return known | phases
