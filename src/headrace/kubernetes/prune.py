"""What an earlier apply left behind: ours by label and by field manager, and rendered no more.

Labels alone prove nothing: Kubernetes copies them to what it makes from our objects, and people
copy manifests. So an object must also have been applied by Headrace itself and belong to no other
object. Namespaces are never pruned: others put things into them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from headrace.kubernetes.cluster import Cluster
from headrace.kubernetes.discovery import Kinds
from headrace.kubernetes.names import FIELD_MANAGER, MANAGED_BY, PART_OF
from headrace.kubernetes.order import MADE, ordered
from headrace.kubernetes.resource import Object

Identity = tuple[str, str, str]
"""API group, kind and name: the version of an API is only how an object is shown."""


def identity(one: Object) -> Identity:
    """Return what makes an object itself within a namespace."""
    return one["apiVersion"].rpartition("/")[0], one["kind"], one["metadata"]["name"]


def is_ours(one: Object, fleet: str) -> bool:
    """Whether Headrace applied this object for this fleet."""
    meta = one["metadata"]
    labels = meta.get("labels") or {}
    if (labels.get(MANAGED_BY), labels.get(PART_OF)) != (FIELD_MANAGER, fleet):
        return False
    if meta.get("ownerReferences"):
        return False
    return any(
        entry.get("manager") == FIELD_MANAGER and entry.get("operation") == "Apply"
        for entry in meta.get("managedFields") or []
    )


async def find_ours(cluster: Cluster, kinds: Kinds, namespace: str, fleet: str) -> list[Object]:
    """Return all that Headrace applied for this fleet, in the order in which it is sent."""
    labels = f"{MANAGED_BY}={FIELD_MANAGER},{PART_OF}={fleet}"
    known = [kinds[pair] for pair in MADE if pair in kinds]
    listed = await asyncio.gather(*(cluster.find(one, namespace, labels) for one in known))
    return ordered(one for part in listed for one in part.items if is_ours(one, fleet))


def leftovers(there: Iterable[Object], wanted: Iterable[Object]) -> list[Object]:
    """Return what is there and not wanted; `removing.py` has the order in which it goes."""
    kept = {identity(one) for one in wanted}
    return [one for one in there if identity(one) not in kept]
