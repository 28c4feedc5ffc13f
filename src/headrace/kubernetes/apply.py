"""Sends a fleet to a cluster: looks first, stage by stage, and takes away what is left over.

Everything is server-side apply of the same objects, so that a run which ends anywhere, for whatever
reason, is completed by the next one. `follow.py` then watches it start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from headrace.kubernetes.cluster import Cluster
from headrace.kubernetes.diff import Changes, Difference, by_manager
from headrace.kubernetes.errors import ConflictError
from headrace.kubernetes.handover import hand_over
from headrace.kubernetes.order import stage_of
from headrace.kubernetes.removing import remove
from headrace.kubernetes.resource import Object, called, kind_of

Tell = Callable[[str, str], None]
"""Takes a subject and what happened to it."""
_MARGIN = 120.0
"""Seconds beyond their Pods' grace for leftovers to go."""
_DONE = {"new": "created", "changed": "changed", "same": "unchanged"}


@dataclass
class Sent:
    """How far an apply has come, for whoever has to say so when it is interrupted."""

    total: int = 0
    done: int = 0


async def apply(
    cluster: Cluster, changes: Changes, sent: Sent, tell: Tell, *, force: bool = False
) -> None:
    """Make the cluster what is wanted; ConflictError before anything is sent.

    `force` takes fields over that others have set.
    """
    if changes.conflicts and not force:
        raise refused(changes)
    todo = [one for one in changes.differences if one.what != "removed"]
    gone = changes.of("removed")
    sent.total = len(todo) + len(gone)
    for one in todo:
        await _send(cluster, changes, one, force=force)
        sent.done += 1
        if one.what != "same":
            tell(stage_of(one.object), f"{one.name} {_DONE[one.what]}")

    def told(one: Object) -> None:
        sent.done += 1
        tell("removed", f"{called(one)}: ours, and not in the file any more")

    leftovers = [one.object for one in gone]
    await remove(cluster, changes.kinds, leftovers, told, limit=grace_of(leftovers) + _MARGIN)


def grace_of(objects: Iterable[Object]) -> float:
    """Return the longest time that Pods of these objects may take to end, in seconds."""
    found = [0.0]
    for one in objects:
        spec = one.get("spec") or {}
        group = spec.get("leaderWorkerTemplate") or {}
        template = spec.get("template") or group.get("workerTemplate") or {}
        found.append(float((template.get("spec") or {}).get("terminationGracePeriodSeconds") or 0))
    return max(found)


async def _send(cluster: Cluster, changes: Changes, one: Difference, *, force: bool) -> None:
    resource = changes.kinds[kind_of(one.object)]
    if one.count is not None:
        await hand_over(cluster, resource, one.object, one.count)
    await cluster.apply(resource, one.object, force=force or one.own)


def refused(changes: Changes) -> ConflictError:
    """Return the error that names every field in question, and what to do."""
    told = [
        f"  {one.name}: {', '.join(fields)}: set by {manager}"
        for one in changes.conflicts
        for manager, fields in by_manager(one.conflicts)
    ]
    words = [
        "others have set fields to other values; nothing was sent:",
        *told,
        "take them over with --force-conflicts, or leave them to those who set them",
    ]
    conflicts = [each for one in changes.conflicts for each in one.conflicts]
    return ConflictError("\n".join(words), conflicts)
