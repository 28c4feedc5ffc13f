"""What to start and stop so that a deployment has as many replicas as it should: data in, data out.

`replicaset.py` carries the plan out.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from headrace.view.states import State

_ORDER = (State.STARTING, State.PROBING, State.READY)
"""States that count as replicas, the ones that a scale-down takes first in front."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A replica as the plan needs it."""

    slot: int
    state: State
    in_flight: int = 0
    proven: bool = True
    """Whether it may be kept rather than one that a rollout still watches."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Slots to start and to stop; both in the order in which to do it."""

    start: tuple[int, ...] = ()
    stop: tuple[int, ...] = ()


def plan(
    desired: int, replicas: Sequence[Seen], *, may_start: bool, taken: Collection[int] = ()
) -> Plan:
    """Return the difference between `desired` and what there is.

    Starting and probing replicas count, so waiting for them starts no more. Draining ones do not
    count, yet hold their slot; `taken` are slots of other revisions. Stopped first: the unproven,
    then the least advanced, then the least busy, then the newest slot.
    """
    active = [replica for replica in replicas if replica.state in _ORDER]
    missing = desired - len(active)
    if missing > 0:
        held = {replica.slot for replica in replicas} | set(taken)
        return Plan(start=_free(missing, held)) if may_start else Plan()
    doomed = sorted(active, key=_dispensable)[: len(active) - desired]
    return Plan(stop=tuple(replica.slot for replica in doomed))


def _free(count: int, taken: set[int]) -> tuple[int, ...]:
    free = [slot for slot in range(1, len(taken) + count + 1) if slot not in taken]
    return tuple(free[:count])


def _dispensable(replica: Seen) -> tuple[bool, int, int, int]:
    return (replica.proven, _ORDER.index(replica.state), replica.in_flight, -replica.slot)
