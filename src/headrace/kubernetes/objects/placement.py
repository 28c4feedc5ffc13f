"""Where Pods go: the right GPUs, spread out, and what the cluster must have for a rollout."""

from __future__ import annotations

from typing import Any

from headrace.hardware.catalogue import UnknownAcceleratorError, find_accelerator
from headrace.kubernetes import names
from headrace.kubernetes.notes import Listed, Noted, annotated
from headrace.kubernetes.objects.sizes import cpu, memory
from headrace.kubernetes.objects.workload import Workload

PRODUCT, COUNT = "nvidia.com/gpu.product", "nvidia.com/gpu.count"
"""Node labels of NVIDIA's GPU feature discovery."""
FAST = 1e11
"""Bytes a second and direction: NVLink and its like are above, PCIe below."""


def placement(work: Workload) -> dict[str, Any]:
    """Return affinity, tolerations and spread of an engine's Pods."""
    spread = {
        "topologySpreadConstraints": annotated(
            [
                (_spread(work, "kubernetes.io/hostname"), "one dead node takes few replicas along"),
                (_spread(work, "topology.kubernetes.io/zone"), None),
            ]
        )
    }
    if not work.gpus:
        return spread
    return {"affinity": _affinity(work), "tolerations": _tolerations(), **spread}


def _spread(work: Workload, key: str) -> dict[str, Any]:
    return {
        "maxSkew": 1,
        "topologyKey": key,
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": work.selector},
    }


def _tolerations() -> list[dict[str, str]]:
    return [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]


def _affinity(work: Workload) -> dict[str, Any]:
    wanted = [(_at_least(work.gpus), _links(work))]
    if work.hardware.product is not None:
        wanted.insert(0, (_products(work.hardware.product), "hardware.product, as nodes label it"))
    terms = [{"matchExpressions": annotated(wanted)}]
    return {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}
        }
    }


def _products(product: str) -> dict[str, Any]:
    return {"key": PRODUCT, "operator": "In", "values": product_labels(product)}


def product_labels(product: str) -> list[str]:
    """Return how nodes may label a product; a name that nobody knows is taken as it is."""
    try:
        known = find_accelerator(product)
    except UnknownAcceleratorError:
        return [product]
    found = sorted(name for name in known.names if name.startswith("NVIDIA-"))
    return found or [product]


def _at_least(gpus: int) -> dict[str, Any]:
    return {"key": COUNT, "operator": "Gt", "values": [str(gpus - 1)]}


def _links(work: Workload) -> str:
    """Say what the count is for, and how good the links between the GPUs are."""
    if work.gpus == 1:
        return "a node that has a GPU"
    need = (
        f"{work.gpus} GPUs of one node: every layer is shared by {work.deployment.tensor_parallel}"
    )
    try:
        link = find_accelerator(work.hardware.product or "").link
    except UnknownAcceleratorError:
        return f"{need}; nothing is known of the links between them"
    if link.bandwidth >= FAST:
        return f"{need}, which talk twice a layer over {link.name}"
    return f"{need}, which talk twice a layer over {link.name}: slow, see `headrace choose`"


def surge(work: Workload) -> str:
    """Say what a rollout needs of the GPU pool, and whether the pool has it."""
    each = work.deployment.accelerators if work.gpus else 0
    rule = "no replica goes before its successor is Ready"
    if not each:
        return f"{rule}; a rollout needs room for one more"
    pool, most = work.scene.options.gpus.get(work.deployment.hardware), work.deployment.scaling.max
    stuck = (
        "the new Pod stays Pending while the old ones serve on, until the rollout times out;"
        " `kubectl rollout undo` or one replica less frees it"
    )
    if pool is None:
        return f"{rule}, so a rollout needs {_gpus(each)} more; with none free, {stuck}"
    if pool >= (most + 1) * each:
        return f"{rule}; {most} replicas and one more are {(most + 1) * each} of {pool} GPUs"
    return (
        f"{rule}. NOT ENOUGH GPUS for a rollout at full scale: {most} replicas and one more need"
        f" {(most + 1) * each}, the pool has {pool}; then {stuck}"
    )


def _gpus(count: int) -> str:
    return "1 GPU" if count == 1 else f"{count} GPUs"


def resources(work: Workload, shm: int) -> Noted:
    """Return what a Pod's engine asks for; `shm` bytes of /dev/shm count as its memory."""
    asked = cpu(work)
    size, why = memory(work, shm)
    requests: dict[str, Any] = {"cpu": str(asked), "memory": size} if asked else {"memory": size}
    limits: dict[str, Any] = {"memory": size}
    if work.gpus:
        requests["nvidia.com/gpu"] = limits["nvidia.com/gpu"] = work.gpus
    return Noted({"requests": requests, "limits": limits}, {"requests": why})


def gateway_spread(fleet: str) -> Listed:
    """Return the spread of the gateways: two on one node are one when it dies."""
    return Listed(
        [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": names.selector(fleet, names.GATEWAY)},
            }
        ]
    )
