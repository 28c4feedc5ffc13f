"""How many replicas an object says it wants: none where KEDA owns the count."""

from __future__ import annotations

from typing import Any

from headrace.kubernetes.objects.workload import Workload


def meta(work: Workload, name: str | None = None) -> dict[str, Any]:
    """Return the metadata of one of its objects."""
    title = work.deployment_name
    return work.scene.meta(name or work.name, "engine", title, work.deployment_name)


def count(work: Workload) -> dict[str, int]:
    """Return `replicas`, or nothing where KEDA owns it."""
    if work.scaled:
        return {}
    scaling = work.deployment.scaling
    return {"replicas": max(1, scaling.min) if scaling.initial is None else scaling.initial}


NO_COUNT = (
    "replicas is left out on purpose: KEDA owns it. Applying a number would set back a busy"
    " deployment (seen on a control plane: 3 to 1, until the next sync)"
)
ONLY_COUNT = "nobody scales it, so this is the count: KEDA was left out, or there are no triggers"
