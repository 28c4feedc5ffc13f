"""Contradictions that no single field shows: dangling names, min over max, drain over grace.

Each check yields (path, message); `load.py` adds the file and line. Routes are checked in
`check_routes.py`, their order in `reach.py`, adapters in `check_adapters.py`. What needs an
engine's knowledge is checked by `headrace.engines`, what needs this machine by `headrace.local`.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from headrace.fleet.check_adapters import check_adapters
from headrace.fleet.check_routes import check_routes, destinations
from headrace.fleet.document import Path_
from headrace.fleet.problems import nearest
from headrace.fleet.reach import unreachable
from headrace.fleet.types import Deployment, Fleet, Gateway, Scaling

Finding = tuple[Path_, str]

_ANYWHERE = {"0.0.0.0", "::"}  # noqa: S104 - recognised, not bound
_SECRET = re.compile(r"(TOKEN|SECRET|PASSWORD|PASSWD|API_?KEY|CREDENTIAL)", re.IGNORECASE)


def check(fleet: Fleet) -> Iterator[Finding]:
    """Yield everything in a well-typed fleet that contradicts something else in it."""
    yield from check_routes(fleet)
    yield from unreachable(fleet)
    yield from check_adapters(fleet)
    yield from _gateway(fleet.gateway)
    for name, deployment in fleet.deployments.items():
        path = ("deployments", name)
        yield from _references(fleet, deployment, path)
        yield from _scaling(deployment.scaling, (*path, "scaling"))
        yield from _triggers(fleet, name, path)
        yield from _lifecycle(deployment, path)
        yield from _memory(fleet, deployment, path)
        yield from _secrets(deployment, path)


def warnings(fleet: Fleet) -> Iterator[Finding]:
    """Yield what is allowed but should not be done by oversight."""
    gateway = fleet.gateway
    if gateway.keys is None and not _is_loopback(gateway.host):
        message = (
            f"everybody who can reach {gateway.host} can use the models; set gateway.keys to a "
            "file made with `headrace keys new`, or put something in front that asks for keys"
        )
        yield ("gateway", "host"), message
    if not _is_loopback(gateway.admin_host):
        message = f"everybody who can reach {gateway.admin_host} can read the metrics"
        yield ("gateway", "admin_host"), message
    for name, deployment in fleet.deployments.items():
        if said := _lets_go(deployment):
            yield ("deployments", name, "scaling", "triggers"), said
        for field in _never_rests(deployment.scaling):
            message = f"changes nothing with min {deployment.scaling.min}: it is about zero"
            yield ("deployments", name, "scaling", *field), message


def _never_rests(scaling: Scaling) -> Iterator[Path_]:
    """Yield what is said about going to zero and coming back where that never happens."""
    if scaling.min == 0:
        return
    if "cooldown" in scaling.model_fields_set:
        yield ("cooldown",)
    for index, trigger in enumerate(scaling.triggers):
        if trigger.activation:
            yield ("triggers", index, "activation")


def _lets_go(deployment: Deployment) -> str | None:
    """Say so where an empty queue takes away again what a queue brought."""
    scaling = deployment.scaling
    signals = {trigger.signal for trigger in scaling.triggers}
    if scaling.max <= max(scaling.min, 1) or signals != {"waiting"}:
        return None
    open_ = "max_num_seqs" in deployment.open  # then what stands in the field is only the default
    target = "N" if open_ else f"{max(1, deployment.max_num_seqs * 3 // 4)}"
    return (
        "counts only what waits: a further replica empties the queue and goes again after"
        f" down.window, though its requests still come; add {{signal: demand, target: {target}}},"
        " waiting and running ones (about three quarters of max_num_seqs)"
    )


def _gateway(gateway: Gateway) -> Iterator[Finding]:
    hosts = {gateway.host, gateway.admin_host}
    overlap = len(hosts) == 1 or hosts & _ANYWHERE
    if overlap and gateway.admin_port and gateway.admin_port == gateway.port:
        message = f"{gateway.port} is the API's port as well; give metrics another one"
        yield ("gateway", "admin_port"), message


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _references(fleet: Fleet, deployment: Deployment, path: Path_) -> Iterator[Finding]:
    if deployment.model not in fleet.models:
        hint = nearest(deployment.model, fleet.models)
        yield (*path, "model"), f"no model is named '{deployment.model}'{hint}"
    if deployment.hardware not in fleet.hardware:
        hint = nearest(deployment.hardware, fleet.hardware)
        yield (*path, "hardware"), f"no hardware is named '{deployment.hardware}'{hint}"


def _triggers(fleet: Fleet, name: str, path: Path_) -> Iterator[Finding]:
    """Yield triggers that count a route whose requests never come to this deployment."""
    for index, trigger in enumerate(fleet.deployments[name].scaling.triggers):
        where = (*path, "scaling", "triggers", index, "route")
        if trigger.route is None:
            continue
        if trigger.route not in fleet.routes:
            hint = nearest(trigger.route, fleet.routes)
            yield where, f"no route is named '{trigger.route}'{hint}"
        elif name not in {target for _, target in destinations(fleet.routes[trigger.route])}:
            message = f"route '{trigger.route}' does not lead to '{name}'; name one that does"
            yield where, message


def _scaling(scaling: Scaling, path: Path_) -> Iterator[Finding]:
    if scaling.min > scaling.max:
        yield (*path, "min"), f"min {scaling.min} is greater than max {scaling.max}"
    if scaling.initial is not None and not scaling.min <= scaling.initial <= scaling.max:
        bounds = f"min {scaling.min} and max {scaling.max}"
        message = f"initial {scaling.initial} is not between {bounds}"
        yield (*path, "initial"), message
    if not scaling.triggers and scaling.min != scaling.max:
        yield (*path, "triggers"), "empty, so nothing could ever scale between min and max"
    for index, trigger in enumerate(scaling.triggers):
        if trigger.activation > trigger.target:
            message = (
                f"activation {trigger.activation:g} is above target {trigger.target:g}: a loaded "
                "deployment would be stopped as idle"
            )
            yield (*path, "triggers", index, "activation"), message
    signals = {trigger.signal for trigger in scaling.triggers}
    if scaling.min == 0 and scaling.triggers and signals == {"running"}:
        message = (
            "nothing runs at zero replicas, so 'running' alone can never wake it; add 'waiting'"
        )
        yield (*path, "triggers"), message


def _lifecycle(deployment: Deployment, path: Path_) -> Iterator[Finding]:
    lifecycle = deployment.lifecycle
    if lifecycle.drain >= lifecycle.grace:
        message = (
            f"drain {lifecycle.drain:g}s is not shorter than grace {lifecycle.grace:g}s: streams "
            "would be killed while they drain"
        )
        yield (*path, "lifecycle", "drain"), message


def _memory(fleet: Fleet, deployment: Deployment, path: Path_) -> Iterator[Finding]:
    hardware = fleet.hardware.get(deployment.hardware)
    if hardware is None:
        return
    if hardware.kind == "cpu" and deployment.gpu_memory_utilization is not None:
        yield (*path, "gpu_memory_utilization"), "is for GPUs; on a CPU set kv_cache, such as 2GiB"
    if hardware.kind == "gpu" and deployment.gpu_memory_utilization and deployment.kv_cache:
        yield (*path, "kv_cache"), "contradicts gpu_memory_utilization; keep one of the two"


def _secrets(deployment: Deployment, path: Path_) -> Iterator[Finding]:
    for variable in deployment.engine.env:
        if _SECRET.search(variable):
            message = "looks like a secret; secrets come from the environment of `headrace up`"
            yield (*path, "engine", "env", variable), message
