"""Volumes of an engine's Pod: weights, caches, shared memory, what a read-only root needs.

Each volume comes with its mount, so that neither is written without the other. `weights.py` fills
the volume of the weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from headrace.engines.container import Container
from headrace.kubernetes import names
from headrace.kubernetes.notes import Listed, Noted, annotated
from headrace.kubernetes.objects import sizes
from headrace.kubernetes.objects.scene import Scene
from headrace.kubernetes.objects.workload import CACHE, WEIGHTS_MOUNT, Workload

NODE_PATH = "/var/lib/headrace"
"""Where a node keeps weights, if there is no volume that many nodes mount."""


class Mounted(NamedTuple):
    """A volume with its mounts, and what it is for."""

    volume: dict[str, Any]
    mounts: tuple[dict[str, Any], ...]
    note: str = ""


def volumes(mounted: list[Mounted]) -> Listed:
    """Return a Pod's volumes."""
    return annotated((one.volume, one.note) for one in mounted)


def mounts(mounted: list[Mounted]) -> list[dict[str, Any]]:
    """Return a container's mounts."""
    return [mount for one in mounted for mount in one.mounts]


def engine_volumes(work: Workload, container: Container) -> list[Mounted]:
    """Return all that an engine's container has mounted."""
    found = list(_weights(work))
    found += [_shm(work), _cache()]
    for index, path in enumerate(path for path in container.writable if path != CACHE):
        found.append(
            _empty(f"writable-{index}", path, "the root is read-only; this may be written")
        )
    if container.files:
        found.append(_files(work, container))
    return found


def _weights(work: Workload) -> Iterator[Mounted]:
    if work.weights is not None:
        volume = {"name": "weights", **weights_source(work, read_only=True)}
        mount = {"name": "weights", "mountPath": WEIGHTS_MOUNT, "readOnly": True}
        yield Mounted(volume, (mount,), "checked against the lock file before they came here")


def weights_source(work: Workload, *, read_only: bool) -> dict[str, Any]:
    """Return where the weights are: a claim that many nodes mount, or a folder of the node."""
    if work.scene.options.storage.kind == "node-local":
        return {"hostPath": {"path": NODE_PATH, "type": "DirectoryOrCreate"}}
    claim: dict[str, Any] = {"claimName": claim_name(work)}
    return {"persistentVolumeClaim": claim | ({"readOnly": True} if read_only else {})}


def claim_name(work: Workload) -> str:
    """Return the name of the claim for a deployment's weights."""
    return f"{work.name}-weights"


def _shm(work: Workload) -> Mounted:
    size, why = sizes.shm(work)
    empty = {"medium": "Memory", "sizeLimit": sizes.gib(size)}
    mount = {"name": "shm", "mountPath": "/dev/shm"}  # noqa: S108 - a path in the container
    return Mounted({"name": "shm", "emptyDir": Noted(empty, {"sizeLimit": why})}, (mount,))


def _cache() -> Mounted:
    return _empty("cache", CACHE, "compiled kernels: they survive a restart of the container")


def _empty(name: str, path: str, note: str) -> Mounted:
    return Mounted({"name": name, "emptyDir": {}}, ({"name": name, "mountPath": path},), note)


def files_name(work: Workload) -> str:
    """Return the name of the ConfigMap with the files of an engine's container."""
    return f"{work.name}-files"


def file_key(index: int) -> str:
    """Return the key of a file in that ConfigMap; paths have strokes, which keys may not."""
    return f"file-{index}"


def _files(work: Workload, container: Container) -> Mounted:
    volume = {"name": "files", "configMap": {"name": files_name(work)}}
    listed = tuple(
        {"name": "files", "mountPath": path, "subPath": file_key(index), "readOnly": True}
        for index, path in enumerate(container.files)
    )
    return Mounted(volume, listed, "each by itself: another file in its folder could be a model")


def config_volume(scene: Scene) -> Mounted:
    """Return the fleet file, its lock and, if the file wants one, the file of API keys."""
    config = {
        "name": names.config(scene.name),
        "items": [{"key": key, "path": key} for key in ("fleet.yaml", "fleet.lock")],
    }
    sources: list[dict[str, Any]] = [{"configMap": config}]
    if scene.fleet.gateway.keys is not None:
        item = {"key": KEYS_FILE, "path": KEYS_FILE}
        sources.append({"secret": {"name": names.keys(scene.name), "items": [item]}})
    volume = {"name": "config", "projected": {"sources": sources}}
    mount = {"name": "config", "mountPath": names.CONFIG_DIR, "readOnly": True}
    return Mounted(volume, (mount,))


KEYS_FILE = "keys.yaml"
"""Beside the fleet file: hashes of API keys, from a Secret."""


def temporary() -> Mounted:
    """Return /tmp of Headrace's own containers, whose root is read-only."""
    return _empty("tmp", "/tmp", "")  # noqa: S108 - a path in the container
