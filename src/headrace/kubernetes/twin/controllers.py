"""Controllers and a node for the twin, for who wants more than an API server: Pods come and go.

One step at a time and at once: a Deployment gets its Pods, a Pod becomes ready unless somebody says
otherwise (`treat`), a Job is complete, a claim is bound. No ReplicaSets, no time passes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

from headrace.kubernetes.names import COMPONENT, DEPLOYMENT, GATEWAY
from headrace.kubernetes.resource import CLAIMS, DEPLOYMENTS, JOBS, PODS, Object, Resource
from headrace.kubernetes.twin.server import Twin
from headrace.kubernetes.twin.store import now

Treat = Callable[[dict[str, Any]], None]
"""Gives a new Pod its status."""
_HASH = "pod-template-hash"


class Controllers:
    """Runs what the twin's objects ask for; `treat` is by deployment, or by component."""

    def __init__(self, twin: Twin) -> None:
        self.treat: dict[str, Treat] = {}
        self.wrong: dict[str, str] = {}
        """What the engines of a deployment answer instead of the known answer."""
        self._twin = twin

    async def run(self) -> None:
        """Follow every write until cancelled."""
        while True:
            written = self._twin.store.written
            self.step()
            await written.wait()

    def step(self) -> None:
        """Do what there is to do now."""
        for work in self._twin.store.all(DEPLOYMENTS):
            self._deployment(work)
        for job in self._twin.store.all(JOBS):
            self._settle(JOBS, job, {"conditions": [_true("Complete")]})
        for claim in self._twin.store.all(CLAIMS):
            self._settle(CLAIMS, claim, {"phase": "Bound"})
        pods = self._twin.store.all(PODS)
        for pod in pods:
            if _component(pod) == GATEWAY:
                self._gateway(pod, [one for one in pods if _component(one) == "engine"])

    def _gateway(self, gateway: Object, engines: list[dict[str, Any]]) -> None:
        """Log what a gateway finds out by the known prompt, in its own words."""
        meta = gateway["metadata"]
        log = self._twin.requests.logs.setdefault((meta["namespace"], meta["name"], GATEWAY), [])
        for pod in engines:
            if is_ready(pod):
                name = str(pod["metadata"]["labels"][DEPLOYMENT])
                wrong = self.wrong.get(name)
                said = f"WRONG ANSWER, it gets no work: {wrong}; asking again in 5 s"
                text = said if wrong else "answers rightly, so it gets work"
                line = f"gateway: {name}: Pod {pod['metadata']['name']} at 10.0.0.1:8000: {text}"
                log += [] if line in log else [line]

    def pods_of(self, work: Object) -> list[dict[str, Any]]:
        """Return a Deployment's Pods."""
        uid = work["metadata"]["uid"]
        return [
            pod
            for pod in self._twin.store.all(PODS, work["metadata"]["namespace"])
            if any(one["uid"] == uid for one in pod["metadata"].get("ownerReferences", []))
        ]

    def _deployment(self, work: dict[str, Any]) -> None:
        if "deletionTimestamp" in work["metadata"]:
            return
        mark = _mark(work["spec"]["template"])
        there = self.pods_of(work)
        new = [pod for pod in there if pod["metadata"]["labels"][_HASH] == mark]
        old = [pod for pod in there if pod not in new]
        new += [self._pod(work, mark) for _ in range(len(new), work["spec"]["replicas"])]
        ready = [pod for pod in new if is_ready(pod)]
        surplus = new[work["spec"]["replicas"] :]
        for pod in [*surplus, *(old if len(ready) == len(new) else [])]:
            if "deletionTimestamp" not in pod["metadata"]:
                meta = pod["metadata"]
                self._twin.removal.delete(PODS, meta["namespace"], meta["name"], {})
        self._count(work, mark)

    def _count(self, work: dict[str, Any], mark: str) -> None:
        there = self.pods_of(work)
        new = [pod for pod in there if pod["metadata"]["labels"][_HASH] == mark]
        counts = {
            "replicas": len(there),
            "updatedReplicas": len(new),
            "readyReplicas": sum(is_ready(pod) for pod in there),
            "observedGeneration": work["metadata"]["generation"],
        }
        self._settle(DEPLOYMENTS, work, counts)

    def _pod(self, work: Object, mark: str) -> dict[str, Any]:
        store, meta, template = self._twin.store, work["metadata"], work["spec"]["template"]
        taken = {pod["metadata"]["name"] for pod in self.pods_of(work)}
        names = (f"{meta['name']}-{mark}-{number}" for number in range(len(taken) + 1))
        labels = template["metadata"]["labels"]
        owner = {
            "apiVersion": work["apiVersion"],
            "kind": work["kind"],
            "name": meta["name"],
            "uid": meta["uid"],
            "controller": True,
            "blockOwnerDeletion": True,
        }
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": next(name for name in names if name not in taken),
                "namespace": meta["namespace"],
                "labels": {**labels, _HASH: mark},
                "ownerReferences": [owner],
                "creationTimestamp": now(),
            },
            "spec": json.loads(json.dumps(template["spec"])),
        }
        name = labels.get(DEPLOYMENT) or labels.get(COMPONENT)
        self.treat.get(str(name), make_ready)(pod)
        return store.change(PODS, pod)

    def _settle(self, resource: Resource, one: dict[str, Any], status: dict[str, Any]) -> None:
        if one.get("status") != status:
            one["status"] = status
            self._twin.store.change(resource, one, subresource="status")


def _component(pod: Object) -> str:
    return str((pod["metadata"].get("labels") or {}).get(COMPONENT, ""))


def _mark(template: Object) -> str:
    return hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:8]


def _true(kind: str) -> dict[str, Any]:
    return {"type": kind, "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}


def is_ready(pod: Object) -> bool:
    """Whether a Pod is ready."""
    conditions = pod.get("status", {}).get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def make_ready(pod: dict[str, Any]) -> None:
    """Give a Pod the status of one that is ready."""
    at = now()
    kinds = ("PodScheduled", "PodReadyToStartContainers", "Initialized", "ContainersReady", "Ready")
    ended = {"terminated": {"exitCode": 0, "startedAt": at, "finishedAt": at}}
    pod["status"] = {
        "phase": "Running",
        "conditions": [
            {"type": kind, "status": "True", "lastTransitionTime": at} for kind in kinds
        ],
        "initContainerStatuses": [
            {"name": one["name"], "state": ended, "restartCount": 0}
            for one in pod["spec"].get("initContainers", [])
        ],
        "containerStatuses": [
            {"name": one["name"], "state": {"running": {"startedAt": at}}, "restartCount": 0}
            for one in pod["spec"]["containers"]
        ],
    }
