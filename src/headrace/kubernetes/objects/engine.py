"""An engine's objects: its Deployment, its headless Service, its PodDisruptionBudget.

A replica that spans nodes is `leader_worker.py`'s instead of a Deployment.
"""

from __future__ import annotations

import math

from headrace.kubernetes.notes import Noted
from headrace.kubernetes.objects import pod, probes, storage
from headrace.kubernetes.objects.leader_worker import leader_worker_set
from headrace.kubernetes.objects.placement import surge
from headrace.kubernetes.objects.replicas import NO_COUNT, ONLY_COUNT, count, meta
from headrace.kubernetes.objects.workload import Workload

_IMAGE_PULL = 900
"""Seconds that an image of some 10 GB may take before a rollout counts as stuck."""


def objects(work: Workload) -> list[Noted]:
    """Return all that runs a deployment's replicas and makes them found."""
    replicas = _deployment(work) if work.pods == 1 else leader_worker_set(work)
    files = [_files(work)] if work.leader.files else []
    return [*files, replicas, _service(work), _budget(work)]


def _deployment(work: Workload) -> Noted:
    startup = math.ceil(work.deployment.lifecycle.startup)
    waits = f"lifecycle.startup {startup} s, and {_IMAGE_PULL} s for the image"
    spec = {
        **count(work),
        "revisionHistoryLimit": 5,
        "progressDeadlineSeconds": startup + _IMAGE_PULL,
        "selector": {"matchLabels": work.selector},
        "strategy": {
            "type": "RollingUpdate",
            "rollingUpdate": Noted(
                {"maxUnavailable": 0, "maxSurge": 1}, {"maxUnavailable": surge(work)}
            ),
        },
        "template": pod.template(work, work.leader),
    }
    notes = {
        "replicas": ONLY_COUNT,
        "progressDeadlineSeconds": waits,
    }
    return Noted(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": meta(work),
            "spec": Noted(spec, notes),
        },
        {"spec": NO_COUNT if work.scaled else None},
    )


def _service(work: Workload) -> Noted:
    """Return the Service whose EndpointSlices the gateway watches; nobody resolves its name."""
    selector = work.selector | ({pod.ROLE: "leader"} if work.pods > 1 else {})
    port = {
        "name": "http",
        "port": work.leader.ports["http"],
        "targetPort": probes.port_name(work.leader, "http"),
    }
    notes = {
        "clusterIP": "the gateway watches its EndpointSlices and chooses a Pod for each request;"
        " a virtual address would choose blindly"
    }
    spec = Noted({"clusterIP": "None", "selector": selector, "ports": [port]}, notes)
    return Noted({"apiVersion": "v1", "kind": "Service", "metadata": meta(work), "spec": spec})


def _budget(work: Workload) -> Noted:
    spec = Noted(
        {
            "maxUnavailable": 1,
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": {"matchLabels": work.selector},
        },
        {
            "maxUnavailable": "nodes are drained one replica at a time, each with its own drain;"
            " minAvailable would block a node for ever while there is one replica",
            "unhealthyPodEvictionPolicy": "a replica that never became Ready must not hold a node",
        },
    )
    return Noted(
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": meta(work),
            "spec": spec,
        }
    )


def _files(work: Workload) -> Noted:
    data = {storage.file_key(i): text for i, text in enumerate(work.leader.files.values())}
    notes = {storage.file_key(i): path for i, path in enumerate(work.leader.files)}
    return Noted(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": meta(work, storage.files_name(work)),
            "data": Noted(data, notes),
        }
    )
