"""What a Pod's status says, read once: whose it is, which of its steps are over, how its engine is.

Pure. `phases.py` makes a start's phases of it, `waiting.py` the reason why it does not go on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from headrace.kubernetes.names import COMPONENT, DEPLOYMENT
from headrace.kubernetes.resource import Object
from headrace.kubernetes.times import unix

ENGINE = "engine"
"""Component of engines' Pods, and the name of the container in them."""
WEIGHTS = "weights"
"""Component of a preload Job's Pods, and the init container of an engine that waits for weights."""
_NOTHING: Mapping[str, Any] = {}


def name_of(pod: Object) -> str:
    """Return its name."""
    return str(pod["metadata"]["name"])


def uid_of(pod: Object) -> str:
    """Return what tells it from another of the same name."""
    return str(pod["metadata"]["uid"])


def component_of(one: Object) -> str:
    """Return the component that an object belongs to: engine, weights, gateway or scaler."""
    return str((one["metadata"].get("labels") or {}).get(COMPONENT, ""))


def deployment_of(one: Object) -> str:
    """Return the deployment that an object belongs to; of Headrace's own Pods their component."""
    return str((one["metadata"].get("labels") or {}).get(DEPLOYMENT, "") or component_of(one))


def status_of(pod: Object) -> Mapping[str, Any]:
    """Return its status; empty while nobody has looked at it."""
    return pod.get("status") or _NOTHING


def condition(one: Object, kind: str) -> Mapping[str, Any]:
    """Return a condition, empty if there is none of this kind."""
    found = (each for each in status_of(one).get("conditions") or [] if each["type"] == kind)
    return next(found, _NOTHING)


def holds(one: Object, kind: str) -> bool:
    """Whether a condition is true."""
    return condition(one, kind).get("status") == "True"


def since(one: Object, kind: str) -> float | None:
    """Return since when a condition is true, None if it is not."""
    return unix(condition(one, kind).get("lastTransitionTime")) if holds(one, kind) else None


def created(pod: Object) -> float:
    """Return when it was made; a Unix time in seconds."""
    return unix(pod["metadata"].get("creationTimestamp")) or 0.0


def terminating(pod: Object) -> bool:
    """Whether it was told to end."""
    return "deletionTimestamp" in pod["metadata"]


def finished(pod: Object) -> bool:
    """Whether all its containers have ended for good."""
    return status_of(pod).get("phase") in ("Succeeded", "Failed")


def containers(pod: Object) -> Iterator[Mapping[str, Any]]:
    """Yield the statuses of its containers, those of its beginning first."""
    status = status_of(pod)
    yield from status.get("initContainerStatuses") or []
    yield from status.get("containerStatuses") or []


def container(pod: Object, name: str) -> Mapping[str, Any]:
    """Return the status of a container, empty if there is none yet."""
    return next((one for one in containers(pod) if one["name"] == name), _NOTHING)


def main_container(pod: Object) -> str:
    """Return the name of the container that the Pod is for."""
    return str(pod["spec"]["containers"][0]["name"])


def started(status: Mapping[str, Any]) -> float | None:
    """Return when a container last began to run."""
    state = status.get("state") or {}
    return unix((state.get("running") or state.get("terminated") or {}).get("startedAt"))


def ended(status: Mapping[str, Any]) -> float | None:
    """Return when a container ended, None while it runs or waits."""
    return unix(((status.get("state") or {}).get("terminated") or {}).get("finishedAt"))


def is_running(pod: Object) -> bool:
    """Whether the container that the Pod is for runs."""
    state = container(pod, main_container(pod)).get("state") or {}
    return "running" in state


def restarts(pod: Object) -> int:
    """Return how often the container that the Pod is for was started again."""
    return int(container(pod, main_container(pod)).get("restartCount") or 0)


def death(status: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return how a container ended the last time, empty if it never did or did well."""
    for state in (status.get("state"), status.get("lastState")):
        found: Mapping[str, Any] = (state or {}).get("terminated") or {}
        if found and found.get("exitCode") != 0:
            return found
    return _NOTHING
