"""Ways to choose a replica, in the shape that `simulate.py` asks: ours and what others do."""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import count, islice

from bench.routing.engine import BLOCK, Request
from headrace.routing.choose import Choice, Place
from headrace.routing.prefix import Mark, Prefix, PrefixIndex
from headrace.routing.queue import WorkQueue
from headrace.routing.ticket import Want
from headrace.routing.work import Work


class Asked(Work):
    """The work of a request that a policy can look at."""

    request: Request


Policy = Callable[[Sequence[Place], Asked], Place]
LOAD_FACTOR = 1.25
"""How much above the mean consistent hashing lets a replica go: KubeAI's default."""


class Queue(WorkQueue[Request]):
    """The gateway's queue, in which another policy may choose the replica."""

    policy: Policy | None = None

    def _choose(self, want: Want, now: float) -> Choice | None:
        work = want.work
        if self.policy is None or not isinstance(work, Asked):
            return super()._choose(want, now)
        places = [place for place in self.places.values() if place.wants_work]
        return Choice(self.policy(places, work), 0, ()) if places else None


def queue_of(name: str, replicas: int, room: int, cache: int) -> Queue:
    """Return an empty queue in front of so many replicas."""
    queue = Queue(10**9, 1e9, 0.0, index=PrefixIndex() if name == "ours" else None)
    if name in OTHERS:
        queue.policy = OTHERS[name]()
    queue.set_places([(f"replica-{n}", room, True) for n in range(replicas)], 0.0)
    for replica in queue.places if queue.index else ():
        assert queue.index is not None  # noqa: S101  for the type checker
        queue.index.resize(replica, cache)
    return queue


def marks(blocks: Sequence[int]) -> Prefix:
    """Return the marks that a prompt of such blocks has, on the grid that the gateway uses.

    Ends of messages, where the gateway has more of them, are not in the trace.
    """
    found, least = [], 0.0
    for number, block in enumerate(blocks, start=1):
        if number >= least:
            least = number * 1.12
            found.append(Mark(block, number * BLOCK))
    return tuple(found)


def round_robin() -> Policy:
    """Each in turn."""
    turn = count()
    return lambda places, _: places[next(turn) % len(places)]


def least_connections() -> Policy:
    """Fewest requests in flight, in turn where that ties."""
    turn = count()

    def policy(places: Sequence[Place], _: Asked) -> Place:
        first = next(turn) % len(places)
        return min((*places[first:], *places[:first]), key=lambda place: place.running)

    return policy


def consistent_hashing(points: int = 256) -> Policy:
    """Consistent hashing of the prefix with bounded loads (CHWBL), as KubeAI has it."""
    ring: list[tuple[int, int]] = []

    def policy(places: Sequence[Place], work: Asked) -> Place:
        if not ring:
            numbers = range(len(places))
            ring.extend(sorted((_hash(f"{n}/{p}"), n) for n in numbers for p in range(points)))
        most = (sum(place.running for place in places) + 1) / len(places) * LOAD_FACTOR
        start = bisect_left(ring, (_hash(str(work.request.conversation)), 0))
        for _, number in (*islice(ring, start, None), *ring[:start]):
            if number < len(places) and places[number].running + 1 <= max(1.0, most):
                return places[number]
        return min(places, key=lambda place: place.running)

    return policy


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


OTHERS: dict[str, Callable[[], Policy]] = {
    "consistent hashing": consistent_hashing,
    "least connections": least_connections,
    "round robin": round_robin,
}
POLICIES = ("ours", "least work", *OTHERS)
"""The second is ours without affinity."""
