"""Giving a count to the autoscaler without a dip.

A field that one manager alone owns goes back to its default when the manager stops naming it: a
Deployment that went from a fixed count to KEDA would fall to one replica. So before such an apply
another manager of ours takes the field over as it is; the autoscaler's first write takes it from
there.
"""

from __future__ import annotations

from headrace.kubernetes.cluster import Cluster
from headrace.kubernetes.names import FIELD_MANAGER
from headrace.kubernetes.resource import Object, Resource

KEEPER = f"{FIELD_MANAGER}-count"
"""The field manager that holds a count until the autoscaler writes one."""


def kept_count(live: Object | None, wanted: Object) -> int | None:
    """Return the count to hold, None where nothing is handed over."""
    if live is None or "replicas" in (wanted.get("spec") or {}):
        return None
    owners = {
        entry["manager"]
        for entry in live["metadata"].get("managedFields") or []
        if "f:replicas" in (entry.get("fieldsV1") or {}).get("f:spec", {})
    }
    if owners != {FIELD_MANAGER}:
        return None
    count = live["spec"].get("replicas")
    return None if count is None else int(count)


async def hand_over(cluster: Cluster, resource: Resource, wanted: Object, count: int) -> None:
    """Hold the count under the other name."""
    meta = {key: wanted["metadata"][key] for key in ("name", "namespace")}
    held = {
        "apiVersion": wanted["apiVersion"],
        "kind": wanted["kind"],
        "metadata": meta,
        "spec": {"replicas": count},
    }
    await cluster.apply(resource, held, manager=KEEPER)
