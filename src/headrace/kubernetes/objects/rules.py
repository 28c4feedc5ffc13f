"""PrometheusRules: promises that burn (`burn_rates.py`), and failures that were seen elsewhere.

Each failure names what to do. Where an alert needs kube-state-metrics it says so.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from headrace.kubernetes.notes import Noted, annotated
from headrace.kubernetes.objects import queries
from headrace.kubernetes.objects.burn_rates import alerts
from headrace.kubernetes.objects.workload import Workload

_FULL = 0.95
"""Of the KV cache."""


class Failure(NamedTuple):
    """An alert: `expr` true for `wait`; `summary` says what to do, `note` why it is watched."""

    name: str
    expr: str
    wait: str
    severity: Literal["page", "ticket"]
    summary: str
    note: str


def objects(work: Workload) -> list[Noted]:
    """Return a deployment's rules."""
    failures = annotated((_alert(work, one), one.note) for one in _failures(work))
    groups: list[dict[str, Any]] = [{"name": f"{work.name}-failures", "rules": failures}]
    promises = list(alerts(work))
    if promises:
        groups.append({"name": f"{work.name}-promises", "rules": annotated(promises)})
    meta = work.scene.meta(work.name, "engine", work.deployment_name, work.deployment_name)
    return [
        Noted(
            {
                "apiVersion": "monitoring.coreos.com/v1",
                "kind": "PrometheusRule",
                "metadata": meta,
                "spec": {"groups": groups},
            }
        )
    ]


def _alert(work: Workload, failure: Failure) -> dict[str, Any]:
    return {
        "alert": failure.name,
        "expr": failure.expr,
        "for": failure.wait,
        "labels": {
            "severity": failure.severity,
            "fleet": work.scene.name,
            "deployment": work.deployment_name,
        },
        "annotations": {"summary": f"{work.deployment_name}: {failure.summary}"},
    }


def _failures(work: Workload) -> Iterator[Failure]:
    yield _held(work)
    yield _at_maximum(work)
    yield _untrusted(work)
    yield _wrong(work)
    yield _breaking(work)
    yield from _silent(work)
    yield from _full(work)
    yield _restarting(work)
    if work.pods == 1:
        yield _stuck(work)


def _ours(work: Workload, metric: str) -> str:
    return queries.select(metric, queries.gateway_labels(work))


def _held(work: Workload) -> Failure:
    startup = math.ceil(work.deployment.lifecycle.startup)
    return Failure(
        "HeadraceHeldTooLong",
        f"sum({_ours(work, 'headrace_held')}) > 0",
        f"{startup}s",
        "page",
        f"requests are held and no replica became ready within lifecycle.startup ({startup} s);"
        " `headrace status` says what the Pods wait for",
        "nothing wakes: no GPU is free, an image or a volume does not come, or it crashes",
    )


def _at_maximum(work: Workload) -> Failure:
    most = work.deployment.scaling.max
    there = f"max({queries.ready(work)})"
    return Failure(
        "HeadraceQueueAtMaximum",
        f"sum({_ours(work, 'headrace_queued')}) > 0 and {there} >= {most}",
        "10m",
        "ticket",
        f"all {most} replicas are full and requests queue; raise scaling.max or let routes"
        " overflow",
        "scaling has done what it may",
    )


def _untrusted(work: Workload) -> Failure:
    return Failure(
        "HeadraceNoTrustedReplica",
        f"max({_ours(work, 'headrace_all_suspect')}) > 0",
        "2m",
        "page",
        "every ready replica fails or answers the known prompt wrongly",
        "Ready is not right: an engine's /health stays 200 while it answers nonsense",
    )


def _wrong(work: Workload) -> Failure:
    return Failure(
        "HeadraceWrongAnswers",
        f"sum(increase({_ours(work, 'headrace_wrong_answers_total')}[15m])) > 0",
        "0m",
        "page",
        "a Pod answers the known prompt wrongly and gets no requests; delete it, and find out why",
        "its probes are content: weights, quantization or a GPU may be broken",
    )


def _breaking(work: Workload) -> Failure:
    return Failure(
        "HeadraceStreamsBreak",
        f"sum(increase({_ours(work, 'headrace_continuations_total')}[10m])) > 10",
        "0m",
        "ticket",
        "more than 10 answers in 10 minutes had to go on at another replica",
        "clients saw nothing of it, but replicas die or are cut",
    )


def _silent(work: Workload) -> Iterator[Failure]:
    metric = queries.engine_metric(work, "running")
    if metric is None:
        return
    series = queries.select(metric, queries.engine_labels(work))
    yield Failure(
        "HeadraceEngineMetricsMissing",
        f"sum({queries.ready(work)}) > 0 unless count({series})",
        "5m",
        "page",
        f"the gateways have replicas, but Prometheus has no {metric.partition('{')[0]}, so scaling"
        " on it is silent; was the engine's version changed, is the PodMonitor picked up?",
        "a metric that an upgrade renamed stops scaling without a word",
    )


def _full(work: Workload) -> Iterator[Failure]:
    usage = queries.engine_metric(work, "kv_usage")
    again = queries.engine_metric(work, "preemptions")
    if usage is None or again is None or work.engine.name in queries.STALE:
        return
    labels = queries.engine_labels(work)
    fullest = f"max({queries.select(usage, labels)}) > {_FULL}"
    yield Failure(
        "HeadraceKvCacheFull",
        f"{fullest} and sum(increase({queries.select(again, labels)}[10m])) > 0",
        "10m",
        "ticket",
        "the KV cache is full and requests are computed twice; lower max_num_seqs, or see"
        " `headrace plan`",
        "a preempted request starts again from its prompt",
    )


def _restarting(work: Workload) -> Failure:
    pods = f'namespace="{work.scene.namespace}",pod=~"{work.name}-.*",container="engine"'
    return Failure(
        "HeadraceEngineRestarts",
        f"sum(increase(kube_pod_container_status_restarts_total{{{pods}}}[30m])) > 2",
        "0m",
        "page",
        "its engines restart again and again; `headrace status` has their last words",
        "needs kube-state-metrics. No memory, a flag that the version lacks, a dead GPU",
    )


def _stuck(work: Workload) -> Failure:
    labels = f'namespace="{work.scene.namespace}",deployment="{work.name}"'
    state = 'condition="Progressing",status="false"'
    return Failure(
        "HeadraceRolloutStuck",
        f"kube_deployment_status_condition{{{labels},{state}}} > 0",
        "0m",
        "ticket",
        "its rollout makes no progress; the old replicas still serve",
        "needs kube-state-metrics. With all GPUs in use the surge Pod never finds one",
    )
