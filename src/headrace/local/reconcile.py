"""What to start and stop so that a deployment has as many replicas as it should: data in, data out.

`replicaset.py` carries the plan out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from headrace.local.states import State

_ORDER = (State.STARTING, State.PROBING, State.READY)
"""States that count as replicas, the ones that a scale-down takes first in front."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A replica as the plan needs it."""

    slot: int
    state: State
    in_flight: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """Slots to start and to stop; both in the order in which to do it."""

    start: tuple[int, ...] = ()
    stop: tuple[int, ...] = ()


def plan(desired: int, replicas: Sequence[Seen], *, may_start: bool) -> Plan:
    """Return the difference between `desired` and what there is.

    Starting and probing replicas count, so waiting for them starts no more. Draining ones do not
    count, yet hold their slot. Stopped first: the least advanced, then the least busy, then the
    newest slot.
    """
    active = [replica for replica in replicas if replica.state in _ORDER]
    missing = desired - len(active)
    if missing > 0:
        return Plan(start=_free(missing, replicas)) if may_start else Plan()
    doomed = sorted(active, key=_dispensable)[: len(active) - desired]
    return Plan(stop=tuple(replica.slot for replica in doomed))


def _free(count: int, replicas: Sequence[Seen]) -> tuple[int, ...]:
    taken = {replica.slot for replica in replicas}
    free = [slot for slot in range(1, len(taken) + count + 1) if slot not in taken]
    return tuple(free[:count])


def _dispensable(replica: Seen) -> tuple[int, int, int]:
    return (_ORDER.index(replica.state), replica.in_flight, -replica.slot)
