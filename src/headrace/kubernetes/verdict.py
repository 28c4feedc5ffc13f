"""Whether a fleet in a cluster serves, will after a while, or never will. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from headrace.fleet.types import Fleet
from headrace.kubernetes import pods
from headrace.kubernetes.names import GATEWAY
from headrace.kubernetes.objects.pod import ROLE
from headrace.kubernetes.picture import LOGS, Picture
from headrace.kubernetes.resource import Object
from headrace.kubernetes.status import count, reasons, trouble
from headrace.kubernetes.waiting import is_hopeless, waits_for


@dataclass(frozen=True)
class Verdict:
    """What is still awaited, and what no patience mends; each a sentence."""

    waits: tuple[str, ...]
    hopeless: tuple[str, ...]

    @property
    def serves(self) -> bool:
        """Whether all is as it should be."""
        return not self.waits and not self.hopeless


def judge(picture: Picture, fleet: Fleet) -> Verdict:
    """Return how a fleet stands."""
    return Verdict(tuple(_waits(picture, fleet)), tuple(_hopeless(picture)))


def _waits(picture: Picture, fleet: Fleet) -> Iterator[str]:
    there = {pods.deployment_of(one) for one in picture.workloads()}
    for name in (*fleet.deployments, GATEWAY):
        if name not in there:
            yield f"{name}: its workload is not there yet"
    for work in picture.workloads():
        if not _settled(work):
            yield from _unsettled(picture, work)
    for job in picture.of("Job"):
        if not pods.holds(job, "Complete") and not pods.holds(job, "Failed"):
            yield f"{job['metadata']['name']}: weights are being pulled"
    for pod in picture.pods():
        if pods.terminating(pod):
            yield f"{pods.name_of(pod)}: finishes what it has and ends"
        elif _is_asked(pod) and LOGS not in picture.blind and not picture.proven(pod):
            yield f"{pods.name_of(pod)}: has not answered every gateway's known prompt yet"


def _is_asked(pod: Object) -> bool:
    """Whether gateways send it requests: an engine, and the leader where there are several."""
    worker = pod["metadata"]["labels"].get(ROLE) == "worker"
    return pods.component_of(pod) == pods.ENGINE and pods.holds(pod, "Ready") and not worker


def _settled(work: Object) -> bool:
    """Whether a workload has its Pods, all of its present form, and no others."""
    status = pods.status_of(work)
    seen = status.get("observedGeneration", work["metadata"].get("generation"))
    wanted = count(work)
    counts = [status.get(key, 0) for key in ("replicas", "updatedReplicas", "readyReplicas")]
    return seen == work["metadata"].get("generation") and counts == [wanted] * len(counts)


def _unsettled(picture: Picture, work: Object) -> Iterator[str]:
    name = pods.deployment_of(work)
    ready = pods.status_of(work).get("readyReplicas", 0)
    why = [text for pod in picture.pods(name) if (text := waits_for(pod, picture.evidence(pod)))]
    said = trouble(work) or next(iter(why), "")
    yield f"{name}: {ready} of {count(work)} ready{f': {said}' if said else ''}"


def _hopeless(picture: Picture) -> Iterator[str]:
    for pod in picture.pods():
        known = picture.evidence(pod)
        if not pods.terminating(pod) and is_hopeless(pod, known):
            yield f"{pods.name_of(pod)}: {waits_for(pod, known)}"
    jobs = {str(job["metadata"]["name"]) for job in picture.of("Job")}
    for name, why in reasons(picture):
        if name in jobs:
            yield f"{name}: {why}{_pull_words(picture, name)}"


def _pull_words(picture: Picture, job: str) -> str:
    """Return what the Pods of a preload Job said last."""
    said = [
        words
        for pod in picture.of("Pod")
        if pods.name_of(pod).startswith(f"{job}-")
        and (words := picture.words.get(pods.uid_of(pod)))
    ]
    return f": {said[-1]}" if said else ""
