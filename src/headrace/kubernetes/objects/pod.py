"""The Pod of an engine: one template for a Deployment, or two for a leader and its workers."""

from __future__ import annotations

import hashlib
from typing import Any

from headrace.engines.container import Container
from headrace.kubernetes.notes import Listed, Noted
from headrace.kubernetes.objects import lifecycle, probes, security, sizes, storage, weights
from headrace.kubernetes.objects.placement import placement, resources
from headrace.kubernetes.objects.workload import Workload

FILES_MARK = "headrace.dev/files-sha256"
_WITH_LEADER = (
    "as its leader's, and without a preStop of its own: LWS deletes a group by its leader, and a"
    " worker has no streams"
)
ROLE = "headrace.dev/role"
"""Label: `leader` or `worker` of a replica with several Pods."""


def template(work: Workload, container: Container, role: str | None = None) -> dict[str, Any]:
    """Return the Pod template; `role` is set where a replica has several Pods."""
    labels = work.labels | ({ROLE: role} if role else {})
    meta: dict[str, Any] = {"labels": labels}
    if container.files:
        text = "\0".join(f"{path}\0{body}" for path, body in container.files.items())
        meta["annotations"] = {FILES_MARK: hashlib.sha256(text.encode()).hexdigest()[:16]}
    return {"metadata": meta, "spec": _spec(work, container, worker=role == "worker")}


def _spec(work: Workload, container: Container, *, worker: bool) -> Noted:
    before, more = weights.init(work)
    mounted = storage.engine_volumes(work, container)
    stop = lifecycle.stop(work.deployment.lifecycle, container.drain)
    spec = {
        "terminationGracePeriodSeconds": stop.grace,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": security.pod(),
        **placement(work),
        **({"initContainers": before} if before else {}),
        "containers": [_engine(work, container, mounted, stop, worker=worker)],
        "volumes": storage.volumes([*mounted, *_named_once(mounted, more)]),
    }
    notes = {
        "terminationGracePeriodSeconds": _WITH_LEADER if worker else stop.whole,
        "automountServiceAccountToken": "an engine has no business with the API server",
        "enableServiceLinks": "a Service's name must never become a variable that an engine reads",
    }
    return Noted(spec, notes)


def _named_once(there: list[storage.Mounted], more: list[storage.Mounted]) -> list[storage.Mounted]:
    known = {one.volume["name"] for one in there}
    return [one for one in more if one.volume["name"] not in known]


def _engine(
    work: Workload,
    container: Container,
    mounted: list[storage.Mounted],
    stop: lifecycle.Stop,
    *,
    worker: bool,
) -> Noted:
    shm, _ = sizes.shm(work)
    read_only = bool(container.writable)
    made: dict[str, Any] = {
        "name": "engine",
        "image": container.image,
        "command": list(container.command),
        "args": _args(work, container),
        "env": _env(work, container),
        "resources": resources(work, shm),
        "securityContext": security.container(container.user, read_only=read_only),
    }
    notes: dict[str, str | None] = {"image": work.engine.note}
    if container.user is None or not read_only:
        notes["securityContext"] = "this image runs only as its own user, or writes its own root"
    if not worker:
        checks = probes.probes(container)
        before = {"sleep": {"seconds": stop.sleep}}
        made |= {
            "ports": probes.ports(container),
            **checks,
            "lifecycle": Noted({"preStop": before}, {"preStop": stop.before}),
        }
        notes |= checks.notes
    made["volumeMounts"] = storage.mounts(mounted)
    return Noted(made, notes)


def _args(work: Workload, container: Container) -> Listed:
    """Return the arguments; a reason stands above the flag that it is for."""
    notes = {
        index: work.why(container.reasons[arg])
        for index, arg in enumerate(container.args)
        if arg in container.reasons
    }
    return Listed(container.args, notes)


def _env(work: Workload, container: Container) -> Listed:
    items = [{"name": name, "value": value} for name, value in container.env.items()]
    notes = {
        index: work.why(container.reasons[name])
        for index, name in enumerate(container.env)
        if name in container.reasons
    }
    return Listed(items, notes)
