"""Why a Pod does not go on, in a sentence that says what to do.

From the Pod's status, from the events about it and its volumes, from its engine's last words and
from what the gateways say of its answers. Pure; empty where it simply takes its time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from headrace.kubernetes import pods
from headrace.kubernetes.resource import Object
from headrace.kubernetes.times import unix

_NODES = re.compile(r"^\d+/(\d+) nodes are available: (.*?)(?:\.(?: .*)?)?$", re.DOTALL)
"""What follows the first full stop is about preemption, and the same for every cause."""
_SHORT = re.compile(r"^(\d+) Insufficient (.+)$")
_UNTOLERATED = re.compile(r"^(\d+) node\(s\) had untolerated taints?(?:\(s\))? ?\{?([^}]*)\}?$")
_MISMATCH = re.compile(r"^(\d+) node\(s\) didn't match Pod's node affinity/selector$")
_AUTH = re.compile(r"(?i)unauthorized|denied|authentication required|no basic auth|403|401")
_ABSENT = re.compile(r"(?i)not found|manifest unknown|does not exist|404")
_OUT_OF_GPU = re.compile(r"(?i)gpu$")
HOPELESS = 3
"""Restarts after which a crash loop counts as one that patience does not mend, as at home."""


@dataclass(frozen=True)
class Evidence:
    """What is known beside the Pod itself.

    `events` are about it, the newest last; `claims` are its namespace's volume claims by name, and
    `claim_events` the newest event about each; `words` are its engine's last ones; `wrong` is what
    a gateway said of its answer to the known prompt.
    """

    events: tuple[Object, ...] = ()
    claims: Mapping[str, Object] = field(default_factory=dict)
    claim_events: Mapping[str, Object] = field(default_factory=dict)
    words: str = ""
    wrong: str = ""


def waits_for(pod: Object, known: Evidence) -> str:
    """Return the reason that is nearest to the cause, empty if there is none."""
    return next(_reasons(pod, known), "")


def is_hopeless(pod: Object, known: Evidence) -> bool:
    """Whether waiting longer is no use: it answers wrongly, or crashes again and again."""
    return bool(known.wrong) or (_crashes(pod) and pods.restarts(pod) >= HOPELESS)


def _crashes(pod: Object) -> bool:
    waiting = _waiting(pods.container(pod, pods.main_container(pod)))
    return waiting.get("reason") == "CrashLoopBackOff"


def _waiting(status: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = (status.get("state") or {}).get("waiting") or {}
    return found


def _reasons(pod: Object, known: Evidence) -> Iterator[str]:
    if known.wrong:
        yield f"wrong answer to the known prompt: {known.wrong}"
    if pods.status_of(pod).get("reason") == "Evicted":
        yield f"evicted: {pods.status_of(pod).get('message', '')}"
    if not pods.holds(pod, "PodScheduled"):
        yield from _unscheduled(pod, known)
        return
    for status in pods.containers(pod):
        yield from _container(status, known)
    if not pods.holds(pod, "PodReadyToStartContainers"):
        yield from _volumes(known)


def _unscheduled(pod: Object, known: Evidence) -> Iterator[str]:
    yield from _claims(pod, known)
    condition = pods.condition(pod, "PodScheduled")
    message = str(condition.get("message") or _newest(known.events, "FailedScheduling") or "")
    if condition.get("reason") == "SchedulingGated":
        yield "held back by a scheduling gate; whoever set it has to lift it"
    if message:
        yield _scheduling(message)


def _scheduling(message: str) -> str:
    """Return a scheduler's message, whose first words are the same for every cause, as a cause."""
    found = _NODES.match(message)
    if not found:
        return f"no node takes it: {message}"
    nodes, parts = int(found[1]), [part.strip() for part in found[2].split(", ")]
    causes = [_cause(part, nodes) for part in parts if part]
    gpu = any((short := _SHORT.match(part)) and _OUT_OF_GPU.search(short[2]) for part in parts)
    head = "no GPU free" if gpu else "no node takes it"
    return f"{head}: {', '.join(causes)}"


def _cause(part: str, nodes: int) -> str:
    if short := _SHORT.match(part):
        return f"{short[1]} of {nodes} nodes have too little {short[2]} left"
    if taint := _UNTOLERATED.match(part):
        return f"{taint[1]} of {nodes} have a taint that it does not tolerate ({taint[2]})"
    if other := _MISMATCH.match(part):
        return f"{other[1]} of {nodes} are of another kind (node affinity)"
    return part


def _claims(pod: Object, known: Evidence) -> Iterator[str]:
    """Yield which of its volumes are not there."""
    for volume in pod["spec"].get("volumes") or []:
        name = (volume.get("persistentVolumeClaim") or {}).get("claimName")
        if not name:
            continue
        claim = known.claims.get(name)
        if claim is None:
            yield f"its volume claim {name} is not there; apply again"
        elif pods.status_of(claim).get("phase") == "Pending":
            why = _why_pending(claim, known.claim_events.get(name))
            yield f"volume claim {name} is pending{why}"
        elif pods.status_of(claim).get("phase") == "Lost":
            yield f"volume claim {name} has lost its volume"


def _why_pending(claim: Object, event: Object | None) -> str:
    said = str((event or {}).get("message") or "")
    kind = claim["spec"].get("storageClassName")
    if not kind and (not said or "no storage class is set" in said):
        return ": the cluster has no default storage class; name one with --storage rwx=CLASS"
    if (event or {}).get("reason") == "WaitForFirstConsumer":
        return ": it is made when a Pod that needs it has a node"
    return f": {said}" if said else f": nobody has made a volume of class {kind} yet"


def _volumes(known: Evidence) -> Iterator[str]:
    for reason in ("FailedAttachVolume", "FailedMount", "FailedCreatePodSandBox"):
        if said := _newest(known.events, reason):
            yield f"volume: {said}" if "Volume" in reason or "Mount" in reason else said


def _container(status: Mapping[str, Any], known: Evidence) -> Iterator[str]:
    waiting = _waiting(status)
    reason, message = waiting.get("reason", ""), str(waiting.get("message") or "")
    match reason:
        case "ImagePullBackOff" | "ErrImagePull" | "RegistryUnavailable":
            yield _image(status, message, known)
        case "InvalidImageName" | "ErrImageNeverPull":
            yield f"image {status.get('image')}: {message or reason}"
        case "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError":
            yield f"its container cannot be made: {message}"
    died = pods.death(status)
    if died and (reason == "CrashLoopBackOff" or "running" not in (status.get("state") or {})):
        yield _died(status, died, known)


def _image(status: Mapping[str, Any], message: str, known: Evidence) -> str:
    """Return why an image does not come; the first failure says it, later ones only repeat."""
    image = status.get("image")
    said = _newest(known.events, "Failed", beginning="Failed to pull") or message
    if _AUTH.search(said):
        return f"image {image}: the registry wants credentials (imagePullSecrets): {said}"
    if _ABSENT.search(said):
        return f"image {image}: there is no such image: {said}"
    return f"image {image} does not come: {said}"


def _died(status: Mapping[str, Any], died: Mapping[str, Any], known: Evidence) -> str:
    count = int(status.get("restartCount") or 0)
    times = f", {count} restarts" if count else ""
    words = known.words if status["name"] != pods.WEIGHTS else ""
    if died.get("reason") == "OOMKilled":
        limit = (status.get("resources") or {}).get("limits", {}).get("memory", "")
        bound = f" of {limit}" if limit else ""
        return f"OOMKilled: it needed more memory than its limit{bound}{times}"
    said = words or str(died.get("message") or "").strip()
    how = f"{status['name']} ended with status {died.get('exitCode')}{times}"
    return f"{how}: {said}" if said else how


def _newest(events: Iterable[Object], reason: str, beginning: str = "") -> str:
    """Return the message of the newest event of a kind."""
    found = [
        one
        for one in events
        if one.get("reason") == reason and str(one.get("message", "")).startswith(beginning)
    ]
    return str(found[-1].get("message", "")).strip() if found else ""


def event_time(event: Object) -> float:
    """Return when an event was last seen, in whichever of its four places that is."""
    series = event.get("series") or {}
    for text in (
        series.get("lastObservedTime"),
        event.get("lastTimestamp"),
        event.get("eventTime"),
        event["metadata"].get("creationTimestamp"),
    ):
        if (found := unix(text)) is not None:
            return found
    return 0.0
