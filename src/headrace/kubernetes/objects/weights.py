"""How weights come into the cluster: once, by their checksums, before any engine looks for them.

A Job pulls them into a volume that all replicas mount read-only; an engine's Pod waits until the
store has published its folder, which it does by one rename when every checksum is right. Where no
volume can be mounted by many nodes, each node pulls into a folder of its own before its first
replica starts. Engines never fetch anything.
"""

from __future__ import annotations

import hashlib
from typing import Any

from headrace.fleet.source import HubSource, parse_source
from headrace.fleet.units import format_size
from headrace.kubernetes import names
from headrace.kubernetes.notes import Noted
from headrace.kubernetes.objects import security, sizes, storage
from headrace.kubernetes.objects.storage import Mounted
from headrace.kubernetes.objects.workload import CACHE, STORE, WEIGHTS_MOUNT, Weights, Workload
from headrace.models.store import MANIFEST

TOKEN_KEY = "token"  # noqa: S105 - a key in a Secret
_RETRIES = 6
"""Of the Job: each goes on where the last one stopped."""
_KEPT = 86400
"""Seconds that a finished Job is kept, so that its log can be read."""


def objects(work: Workload) -> list[Noted]:
    """Return the claim and the Job; none where nodes pull for themselves, or for twins."""
    if work.weights is None or work.scene.options.storage.kind == "node-local":
        return []
    return [_claim(work, work.weights), _job(work, work.weights)]


def _claim(work: Workload, weights: Weights) -> Noted:
    size, why = sizes.weights_volume(weights.size)
    chosen = work.scene.options.storage.storage_class
    spec = {
        "accessModes": ["ReadWriteMany"],
        **({"storageClassName": chosen} if chosen else {}),
        "resources": {"requests": Noted({"storage": size}, {"storage": why})},
    }
    notes = {"accessModes": "replicas on several nodes read what one Job writes"}
    return Noted(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": _meta(work, storage.claim_name(work)),
            "spec": Noted(spec, notes),
        },
        head=_unlocked(weights),
    )


def _unlocked(weights: Weights) -> str:
    if weights.locked:
        return ""
    return (
        f"{names.NOT_READY}: the lock file lacks {', '.join(weights.missing)}, so there are no"
        " checksums, and the engines' paths are not what the store would call them. Run"
        " `headrace weights pull` on a machine with room, commit the lock, render again"
    )


def _meta(work: Workload, name: str) -> dict[str, Any]:
    return work.scene.meta(name, "weights", work.deployment_name, work.deployment_name)


def job_name(work: Workload, weights: Weights) -> str:
    """Return a name that changes with the weights and the image: a Job cannot be changed."""
    mark = "\n".join((work.scene.options.image, str(weights.size), *weights.folders))
    return f"{work.name}-pull-{hashlib.sha256(mark.encode()).hexdigest()[:8]}"


def _job(work: Workload, weights: Weights) -> Noted:
    labels = names.labels(work.scene.name, work.deployment_name, "weights", work.deployment_name)
    spec = Noted(
        {
            "backoffLimit": _RETRIES,
            "ttlSecondsAfterFinished": _KEPT,
            "template": {"metadata": {"labels": labels}, "spec": _pull_pod(work)},
        },
        {"backoffLimit": "each try goes on where the last one stopped"},
    )
    head = f"pulls {format_size(weights.size)} once; every file is compared with the lock's SHA-256"
    return Noted(
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": _meta(work, job_name(work, weights)),
            "spec": spec,
        },
        {"metadata": "the name has a digest of the weights: a Job cannot be changed"},
        head=_unlocked(weights) or head,
    )


def _pull_pod(work: Workload) -> dict[str, Any]:
    mounted = [_store(work), *_pull_files(work)]
    return {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": security.pod(security.HEADRACE_USER),
        "containers": [_pull_container(work, mounted, security.HEADRACE_USER)],
        "volumes": storage.volumes(mounted),
    }


def _store(work: Workload) -> Mounted:
    volume = {"name": "weights", **storage.weights_source(work, read_only=False)}
    return Mounted(volume, ({"name": "weights", "mountPath": CACHE},))


def _pull_files(work: Workload) -> list[Mounted]:
    return [storage.config_volume(work.scene), storage.temporary()]


def _pull_container(work: Workload, mounted: list[Mounted], user: int) -> Noted:
    """Return the container that pulls; it needs the hub's token where the source is a hub."""
    env: list[dict[str, Any]] = [
        {"name": "HEADRACE_CACHE", "value": CACHE},
        {"name": "HOME", "value": "/tmp"},  # noqa: S108 - a path in the container
    ]
    notes = {}
    if isinstance(parse_source(work.scene.fleet.models[work.deployment.model].weights), HubSource):
        env.append({"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": _token(work)}})
        notes["env"] = "the token comes from a Secret and nowhere else; open models need none"
    return Noted(
        {
            "name": "pull",
            "image": work.scene.options.image,
            "args": ["weights", "pull", names.CONFIG_FILE, "--deployment", work.deployment_name],
            "env": env,
            "resources": {
                "requests": {"cpu": "1", "memory": "1Gi"},
                "limits": {"memory": "4Gi"},
            },
            "securityContext": security.container(user),
            "volumeMounts": storage.mounts(mounted),
        },
        notes,
    )


def _token(work: Workload) -> dict[str, Any]:
    return {"name": work.scene.options.token_secret, "key": TOKEN_KEY, "optional": True}


def init(work: Workload) -> tuple[list[Noted], list[Mounted]]:
    """Return what a Pod does before its engine starts, and the volumes that this needs."""
    if work.weights is None:
        return [], []
    if work.scene.options.storage.kind == "node-local":
        return [_node_pull(work)], _pull_files(work)
    return [_wait(work, work.weights)], []


def _wait(work: Workload, weights: Weights) -> Noted:
    wanted = [f"{WEIGHTS_MOUNT}/{STORE}/{folder}/{MANIFEST}" for folder in weights.folders]
    script = (
        'for file in "$@"; do until [ -f "$file" ]; do'
        ' echo "waiting for $file"; sleep 5; done; done'
    )
    return Noted(
        {
            "name": "weights",
            "image": work.scene.options.image,
            "command": ["sh", "-c", script, "weights"],
            "args": wanted,
            "resources": {
                "requests": {"cpu": "10m", "memory": "32Mi"},
                "limits": {"memory": "64Mi"},
            },
            "securityContext": security.container(security.HEADRACE_USER),
            "volumeMounts": [{"name": "weights", "mountPath": WEIGHTS_MOUNT, "readOnly": True}],
        },
        {"command": "the store publishes a folder by one rename, whole and checked, or not at all"},
    )


def _node_pull(work: Workload) -> Noted:
    """Return the init container that fills the node's folder, under the store's own file lock."""
    mounted = [_store(work), *_pull_files(work)]
    container = _pull_container(work, mounted, security.HEADRACE_USER)
    container["name"] = "weights"
    root = security.container(None) | {"runAsUser": 0, "runAsGroup": 0}
    container["securityContext"] = root
    container.notes["securityContext"] = (
        "root, without any capability: a folder of the node belongs to root; the engine is not"
    )
    container.notes["args"] = "the first Pod of a node pulls, the others find that it is there"
    return container
