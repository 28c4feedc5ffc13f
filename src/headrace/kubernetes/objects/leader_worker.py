"""A replica that spans nodes: a LeaderWorkerSet, whose groups of Pods live and die together.

Fields as in leaderworkerset.x-k8s.io/v1; LWS gives every Pod LWS_LEADER_ADDRESS, LWS_WORKER_INDEX
(since 0.5) and LWS_GROUP_SIZE. Only the leader has HTTP, probes and a place behind the Service.
"""

from __future__ import annotations

from headrace.engines.container import Container
from headrace.kubernetes.notes import Noted
from headrace.kubernetes.objects import pod
from headrace.kubernetes.objects.placement import surge
from headrace.kubernetes.objects.replicas import NO_COUNT, ONLY_COUNT, count, meta
from headrace.kubernetes.objects.workload import Workload

LEADER, RANK = "$(LWS_LEADER_ADDRESS)", "$(LWS_WORKER_INDEX)"
"""Expressions that the kubelet fills in from the variables that LWS sets."""


def leader_worker_set(work: Workload) -> Noted:
    """Return the LeaderWorkerSet of a deployment whose replica has several Pods."""
    if work.worker is None:
        raise ValueError(f"{work.name} has {work.pods} Pods for a replica, but no worker")
    spec = Noted(
        {
            **count(work),
            "rolloutStrategy": {
                "type": "RollingUpdate",
                "rollingUpdateConfiguration": Noted(
                    {"maxUnavailable": 0, "maxSurge": 1}, {"maxUnavailable": surge(work)}
                ),
            },
            "startupPolicy": "LeaderCreated",
            "leaderWorkerTemplate": _template(work, work.worker),
        },
        {
            "replicas": ONLY_COUNT,
            "startupPolicy": "ranks wait for each other, so none may wait to be created",
        },
    )
    return Noted(
        {
            "apiVersion": "leaderworkerset.x-k8s.io/v1",
            "kind": "LeaderWorkerSet",
            "metadata": meta(work, work.group_name),
            "spec": spec,
        },
        {"spec": NO_COUNT if work.scaled else None},
    )


def _template(work: Workload, worker: Container) -> Noted:
    return Noted(
        {
            "size": work.pods,
            "restartPolicy": "RecreateGroupOnPodRestart",
            "leaderTemplate": pod.template(work, work.leader, "leader"),
            "workerTemplate": pod.template(work, worker, "worker"),
        },
        {
            "size": f"{work.deployment.accelerators} GPUs in nodes of {work.per_node}; each Pod has"
            " whole stages, as many as the others",
            "restartPolicy": "one rank that dies takes the others along: what they hold of each"
            " request is worth nothing without it",
        },
    )
