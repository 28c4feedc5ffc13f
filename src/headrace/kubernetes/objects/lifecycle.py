"""How long a Pod may take to stop, computed from the file's lifecycle and the engine's manners.

The order of things when a Pod is deleted: its endpoint says "terminating", every gateway withdraws
it and lets its streams go on; preStop runs; SIGTERM; at the end of the grace period SIGKILL. A
preStop that is still running when the grace ends costs the SIGTERM its effect, so the grace holds
all of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from headrace.engines.container import Drain
from headrace.fleet.types import Lifecycle

SPREAD = 5
"""Seconds until every gateway knows that a Pod is terminating; a watch takes some 0.1 s."""
EXIT = 10
"""Seconds that an engine has to end its processes once it has drained."""


@dataclass(frozen=True)
class Stop:
    """Seconds: of preStop, and of the whole grace; `before` and `whole` say why."""

    sleep: int
    grace: int
    before: str
    whole: str


def stop(lifecycle: Lifecycle, drain: Drain) -> Stop:
    """Return how a replica stops: the engine drains, or preStop waits because it would not."""
    wanted = math.ceil(lifecycle.drain)
    if drain.inside:
        inside = wanted if drain.seconds is None else math.ceil(drain.seconds)
        return _stop(lifecycle, SPREAD, inside, _inside(drain, inside))
    before = (
        f"this engine cuts its streams at SIGTERM, so it waits for lifecycle.drain, {wanted} s:"
        f" preStop sleeps {SPREAD + wanted} s at every stop, also when nothing is running."
        f" {drain.note}"
    )
    return _stop(lifecycle, SPREAD + wanted, 0, before)


def _inside(drain: Drain, seconds: int) -> str:
    bound = f"for at most {seconds} s" if drain.seconds is not None else "without a deadline"
    return (
        f"{SPREAD} s in which every gateway sees the terminating endpoint and sends nothing new;"
        f" then SIGTERM, and the engine drains {bound}. {drain.note}"
    )


def _stop(lifecycle: Lifecycle, sleep: int, inside: int, before: str) -> Stop:
    needed, asked = sleep + inside + EXIT, math.ceil(lifecycle.grace)
    sums = f"preStop {sleep} s + drain {inside} s + exit {EXIT} s = {needed} s"
    if asked >= needed:
        return Stop(sleep, asked, before, f"lifecycle.grace; it holds {sums}")
    raised = f"{sums}; more than lifecycle.grace ({asked} s), which has no preStop in it"
    return Stop(sleep, needed, before, raised)
