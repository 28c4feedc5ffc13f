"""Takes objects out of a cluster in the order in which nobody's answer is cut.

First what scales, so that nothing wakes. Then gateways, which finish their streams while engines
still run; then engines and all else that has Pods. Only when these are gone what they needed until
the end goes: a Service's endpoints, a policy that lets gateways in, a volume.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence

from headrace.kubernetes.cluster import Cluster
from headrace.kubernetes.discovery import Kinds
from headrace.kubernetes.errors import NotReadyError
from headrace.kubernetes.names import GATEWAY
from headrace.kubernetes.pods import component_of
from headrace.kubernetes.resource import Object, called, kind_of

POLL = 1.0
"""Seconds between two looks at what is left."""
_SCALES = frozenset({"ScaledObject", "HorizontalPodAutoscaler"})
_RUNS = frozenset({"Deployment", "LeaderWorkerSet", "Job"})
Tell = Callable[[Object], None]


def waves(objects: Sequence[Object]) -> Iterator[list[Object]]:
    """Yield what goes together, the first first; empty waves are left out."""
    found: tuple[list[Object], ...] = ([], [], [], [])
    for one in objects:
        found[_wave(one)].append(one)
    yield from (wave for wave in found if wave)


def _wave(one: Object) -> int:
    if one["kind"] in _SCALES:
        return 0
    if one["kind"] in _RUNS:
        return 1 if component_of(one) == GATEWAY else 2
    return 3


async def remove(
    cluster: Cluster,
    kinds: Kinds,
    objects: Sequence[Object],
    tell: Tell,
    *,
    limit: float,
    poll: float = POLL,
) -> None:
    """Delete all and return when they are gone; NotReadyError names what is held after `limit` s.

    Each object goes with what belongs to it, Pods within their grace; the next wave waits for that.
    """
    try:
        async with asyncio.timeout(limit):
            for wave in waves(objects):
                for one in wave:
                    await cluster.delete(kinds[kind_of(one)], one, "Foreground")
                    tell(one)
                while await there(cluster, kinds, wave):  # noqa: ASYNC110 - no event comes here
                    await asyncio.sleep(poll)
    except TimeoutError:
        held = "\n  ".join(_held(await there(cluster, kinds, objects)))
        raise NotReadyError(
            f"still there after {limit:g} s; repeat this when nothing holds it:\n  {held}"
        ) from None


async def there(cluster: Cluster, kinds: Kinds, objects: Sequence[Object]) -> list[Object]:
    """Return what is not gone yet; another object of the same name, made since, does not count."""
    found = await asyncio.gather(*(_now(cluster, kinds, one) for one in objects))
    return [
        now
        for now, one in zip(found, objects, strict=True)
        if now is not None and now["metadata"]["uid"] == one["metadata"]["uid"]
    ]


async def _now(cluster: Cluster, kinds: Kinds, one: Object) -> Object | None:
    meta = one["metadata"]
    return await cluster.get(kinds[kind_of(one)], meta["name"], meta.get("namespace", ""))


def _held(objects: Sequence[Object]) -> Iterator[str]:
    """Yield what holds each object."""
    for one in objects:
        finalizers = one["metadata"].get("finalizers") or []
        if "deletionTimestamp" not in one["metadata"]:
            yield f"{called(one)}: waits for its turn"
        elif "foregroundDeletion" in finalizers:
            yield f"{called(one)}: waits for its Pods to end"
        elif finalizers:
            yield f"{called(one)}: held by {', '.join(finalizers)}; does what set that still run?"
        else:
            yield called(one)
