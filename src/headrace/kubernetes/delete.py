"""Takes a fleet out of a cluster: what Headrace applied for it, and nothing else.

`removing.py` has the order. The namespace, and what others put into it, stays unless asked for.
"""

from __future__ import annotations

from dataclasses import dataclass

from headrace.kubernetes.cluster import Cluster
from headrace.kubernetes.discovery import Kinds, discover
from headrace.kubernetes.order import MADE
from headrace.kubernetes.prune import find_ours, is_ours
from headrace.kubernetes.removing import POLL, Tell, remove
from headrace.kubernetes.resource import CLAIMS, NAMESPACES, Object, kind_of


@dataclass(frozen=True)
class Leaving:
    """What goes, in order; `namespace` is there if it goes, too."""

    kinds: Kinds
    objects: tuple[Object, ...]
    namespace: Object | None


async def find_leaving(
    cluster: Cluster,
    fleet: str,
    namespace: str,
    *,
    keep_weights: bool = False,
    with_namespace: bool = False,
) -> Leaving:
    """Return what a deletion would take away."""
    kinds = await discover(cluster, {version for version, _ in MADE})
    there = await find_ours(cluster, kinds, namespace, fleet)
    gone = [one for one in there if not (keep_weights and one["kind"] == CLAIMS.kind)]
    space = await cluster.get(NAMESPACES, namespace, "") if with_namespace else None
    return Leaving(kinds, tuple(gone), space if space and is_ours(space, fleet) else None)


async def delete(
    cluster: Cluster, leaving: Leaving, tell: Tell, *, limit: float, poll: float = POLL
) -> None:
    """Delete all, and return when it is gone; NotReadyError names what is held after `limit` s."""
    await remove(cluster, leaving.kinds, leaving.objects, tell, limit=limit, poll=poll)
    if leaving.namespace is not None:
        spaces = {kind_of(leaving.namespace): NAMESPACES}
        await remove(cluster, spaces, [leaving.namespace], tell, limit=limit, poll=poll)
