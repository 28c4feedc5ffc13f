"""All that is known of a fleet in a cluster at one moment, and what it means for each Pod.

`gather.py` takes one for `headrace status`, `follow.py` keeps one up to date while a fleet starts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from headrace.gateway.control import Demand
from headrace.kubernetes import pods
from headrace.kubernetes.names import FIELD_MANAGER, GATEWAY, MANAGED_BY, PART_OF
from headrace.kubernetes.phases import Mark
from headrace.kubernetes.resource import CLAIMS, DEPLOYMENTS, EVENTS, JOBS, PODS, Object, Resource
from headrace.kubernetes.waiting import Evidence, event_time

LEADER_WORKER_SETS = Resource(
    "leaderworkerset.x-k8s.io", "v1", "LeaderWorkerSet", "leaderworkersets"
)
LOGS = "read logs of Pods"
"""What a picture is blind to where the caller may not read logs."""
WORKLOADS = ("Deployment", "LeaderWorkerSet")
PARTS = (PODS, DEPLOYMENTS, JOBS, CLAIMS, EVENTS)
"""What is read of every cluster; LeaderWorkerSets where there are any."""


@dataclass(frozen=True)
class Verdicts:
    """What one gateway found out with the known prompt: Pods that answer rightly, or why not."""

    right: frozenset[str] = frozenset()
    wrong: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Picture:
    """Objects by kind and uid, and what logs and gateways told.

    `marks` and `words` are by a Pod's uid: the phases that its engine's log began, its last words.
    `verdicts` are by the name of the gateway's Pod, of those that have said anything. `demands` are
    those of each gateway that answered, None while none did. `blind` are sentences about what could
    not be read.
    """

    objects: dict[str, Mapping[str, Object]] = field(default_factory=dict)
    marks: dict[str, list[Mark]] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)
    verdicts: dict[str, Verdicts] = field(default_factory=dict)
    demands: Sequence[Sequence[Demand]] | None = None
    blind: dict[str, str] = field(default_factory=dict)

    def of(self, kind: str) -> list[Object]:
        """Return the objects of a kind, by name."""
        found = self.objects.get(kind, {}).values()
        return sorted(found, key=lambda one: str(one["metadata"]["name"]))

    def pods(self, deployment: str | None = None) -> list[Object]:
        """Return the Pods of a deployment, or all; those that have ended for good are left out."""
        return [
            pod
            for pod in self.of("Pod")
            if not pods.finished(pod)
            and (deployment is None or pods.deployment_of(pod) == deployment)
        ]

    def workloads(self) -> list[Object]:
        """Return what makes the Pods that serve."""
        return [one for kind in WORKLOADS for one in self.of(kind)]

    def evidence(self, pod: Object) -> Evidence:
        """Return what is known of a Pod beside its status."""
        uid = pods.uid_of(pod)
        return Evidence(
            events=tuple(self._events("Pod", uid)),
            claims={one["metadata"]["name"]: one for one in self.of("PersistentVolumeClaim")},
            claim_events=self._claim_events(),
            words=self.words.get(uid, ""),
            wrong=self.wrong(pod),
        )

    def gateways(self) -> list[Object]:
        """Return the Pods of gateways that run and stay."""
        return [
            pod for pod in self.pods(GATEWAY) if pods.is_running(pod) and not pods.terminating(pod)
        ]

    def wrong(self, pod: Object) -> str:
        """Return what a Pod answered wrongly, by any gateway's word; empty if it did not."""
        name = pods.name_of(pod)
        told = (self.verdicts.get(pods.name_of(one), Verdicts()) for one in self.gateways())
        return next((one.wrong[name] for one in told if name in one.wrong), "")

    def proven(self, pod: Object) -> bool:
        """Whether every gateway had the right answer from a Pod."""
        name = pods.name_of(pod)
        told = [self.verdicts.get(pods.name_of(one), Verdicts()) for one in self.gateways()]
        return bool(told) and all(name in one.right for one in told)

    def _events(self, kind: str, uid: str) -> list[Object]:
        found = [
            one
            for one in self.of("Event")
            if (one["involvedObject"].get("kind"), one["involvedObject"].get("uid")) == (kind, uid)
        ]
        return sorted(found, key=event_time)

    def _claim_events(self) -> dict[str, Object]:
        told = [one for one in self.of("Event") if one["involvedObject"].get("kind") == CLAIMS.kind]
        return {str(one["involvedObject"]["name"]): one for one in sorted(told, key=event_time)}


def selector(fleet: str) -> str:
    """Return the labels of everything that is a fleet's, Pods included."""
    return f"{MANAGED_BY}={FIELD_MANAGER},{PART_OF}={fleet}"


def labels_for(resource: Resource, fleet: str) -> str:
    """Return the labels by which objects of a kind are found; events have none."""
    return "" if resource == EVENTS else selector(fleet)
