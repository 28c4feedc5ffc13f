"""The ScaledObject says what the file says, safely: windows, cooldowns, fallbacks, null handling."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from packaging.version import Version
from render_kit import GPU, example, files, kinds, objects, one

from headrace.fleet.types import Scaling
from headrace.kubernetes.objects.scaling import cooldown_period
from headrace.kubernetes.options import Options

ZERO = (
    "scaling: {min: 0, max: 3, triggers: [{signal: waiting, target: 5}], polling_interval: 10s,"
    " sync_period: 15s, cooldown: 60s, down: {window: 2m}}"
)
SLO = ", slo: {tpot: 40ms}"


def _spec(folder: Path, options: Options | None = None, **how: str) -> dict[str, Any]:
    spec: dict[str, Any] = one(files(folder, options, **how), "ScaledObject", "f-d")["spec"]
    return spec


def _scaling(**given: Any) -> Scaling:
    return Scaling.model_validate({"min": 0, "max": 2, **given})


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ({}, 331),  # Kubernetes' window of 300 s + 2 x 15 s, and one more: 300 s are too few
        ({"cooldown": "10m"}, 600),
        ({"cooldown": "2m", "sync_period": "5s", "down": {"window": "1m"}}, 120),  # 60 + 10 + 1
        ({"cooldown": "70s", "sync_period": "5s", "down": {"window": "1m"}}, 71),
        ({"cooldown": "10s", "down": {"window": "0s"}}, 31),
    ],
)
def test_the_cooldown_is_longer_than_the_way_down(given: dict[str, Any], seconds: int) -> None:
    assert cooldown_period(_scaling(**given))[0] == seconds


def test_a_fleet_that_rests_at_zero(tmp_path: Path) -> None:
    spec = _spec(tmp_path, deployment=f"{ZERO}\n    lifecycle: {{startup: 5m}}")
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (0, 3)
    assert spec["pollingInterval"] == 10
    assert spec["cooldownPeriod"] == 120 + 2 * 15 + 1
    assert spec["initialCooldownPeriod"] == 151 + 300
    assert spec["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "f-d"}
    assert spec["fallback"] == {
        "failureThreshold": 3, "replicas": 1, "behavior": "currentReplicasIfHigher"
    }  # fmt: skip


def test_what_keda_ignores_above_zero_is_left_out(tmp_path: Path) -> None:
    spec = _spec(tmp_path, deployment="scaling: {min: 1, max: 3, cooldown: 10m}")
    assert not {"pollingInterval", "cooldownPeriod", "initialCooldownPeriod"} & spec.keys()
    assert spec["fallback"]["replicas"] == 1


def test_an_older_keda_falls_back_to_the_maximum(tmp_path: Path) -> None:
    spec = _spec(tmp_path, Options(keda=Version("2.16")), deployment=ZERO)
    assert spec["fallback"] == {"failureThreshold": 3, "replicas": 3}


def test_the_external_scaler_is_asked_first_and_pushes(tmp_path: Path) -> None:
    external, *metrics = _spec(tmp_path, deployment=ZERO)["triggers"]
    assert external == {
        "type": "external-push",
        "name": "demand",
        "metadata": {"scalerAddress": "f-scaler.f.svc:9090", "deployment": "d"},
    }
    assert [one_["type"] for one_ in metrics] == ["prometheus"]


def test_silence_is_never_zero(tmp_path: Path) -> None:
    for options in (Options(), Options(scaler="prometheus")):
        for trigger in _spec(tmp_path, options, deployment=ZERO, route=SLO)["triggers"]:
            if trigger["type"] == "prometheus":
                assert trigger["metadata"]["ignoreNullValues"] == "false"
                assert "vector(0)" not in trigger["metadata"]["query"]


def test_metrics_are_those_of_the_pinned_version(tmp_path: Path) -> None:
    def queries(version: str) -> str:
        engine = f"engine: {{name: vllm, version: {version}}}\n    {ZERO}"
        spec = _spec(tmp_path, deployment=engine, route=SLO)
        return " ".join(one_["metadata"].get("query", "") for one_ in spec["triggers"])

    assert "vllm:request_time_per_output_token_seconds_bucket" in queries("0.32.0")
    old = queries("0.8.5")
    assert "vllm:time_per_output_token_seconds_bucket" in old
    assert "inter_token" not in old


def test_the_queue_of_the_engine(tmp_path: Path) -> None:
    _, queue = _spec(tmp_path, deployment=ZERO)["triggers"]
    metadata = queue["metadata"]
    assert (metadata["threshold"], metadata["activationThreshold"]) == ("5", "0")
    assert queue["metricType"] == "AverageValue"
    assert metadata["query"] == (
        'sum(vllm:num_requests_waiting{namespace="f",headrace_dev_deployment="d"}) or'
        ' (0 * (sum(headrace_pods{namespace="f",deployment="d",state="ready"}) == 0))'
    )


def test_slow_tokens_in_ms_for_each_replica(tmp_path: Path) -> None:
    *_, slow = _spec(tmp_path, deployment=ZERO, route=SLO)["triggers"]
    assert slow["name"] == "tpot"
    assert slow["metadata"]["threshold"] == "40"
    query = slow["metadata"]["query"]
    assert query.startswith("(1000 * histogram_quantile(0.95, sum by (le) (rate(vllm:")
    assert "* count(count by (pod) (" in query
    assert ">= 0 or (0 * sum(vllm:num_requests_running{" in query  # NaN while nothing is generated


def test_gauges_that_are_old_are_no_triggers() -> None:
    made = example("kubernetes/five-engines.yaml")
    names = {
        one_["metadata"]["name"]: [trigger["name"] for trigger in one_["spec"]["triggers"]]
        for one_ in objects(made)
        if one_["kind"] == "ScaledObject"
    }
    assert names == {
        "five-vllm-a": ["demand", "engine-queue", "tpot"],
        "five-sglang-a": ["demand", "engine-queue", "tpot"],
        "five-tgi-a": ["demand", "engine-queue", "tpot"],
        "five-triton-a": ["demand", "engine-queue"],  # Triton has no metric of TPOT
        "five-trtllm-a": ["demand"],  # refreshed only when a request ends
    }


def test_a_label_of_the_metric_joins_ours() -> None:
    spec = one(example("kubernetes/five-engines.yaml"), "ScaledObject", "five-triton-a")["spec"]
    assert (
        'sum(nv_trt_llm_request_metrics{request_type="waiting",namespace="five",'
        'headrace_dev_deployment="triton-a"})'
    ) in spec["triggers"][1]["metadata"]["query"]


def test_one_pod_each_period_unless_the_file_says(tmp_path: Path) -> None:
    usual = _spec(tmp_path, deployment="scaling: {min: 1, max: 3}")["advanced"]
    behavior = usual["horizontalPodAutoscalerConfig"]["behavior"]
    assert behavior == {
        "scaleUp": {
            "stabilizationWindowSeconds": 0,
            "selectPolicy": "Max",
            "policies": [{"type": "Pods", "value": 1, "periodSeconds": 30}],
        },
        "scaleDown": {
            "stabilizationWindowSeconds": 300,
            "selectPolicy": "Max",
            "policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}],
        },
    }
    own = _spec(
        tmp_path,
        deployment="scaling: {min: 1, max: 9, up: {window: 10s, select: min, policies:"
        " [{kind: percent, value: 50, period: 30s}]}, down: {select: disabled}}",
    )["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    assert own["scaleUp"] == {
        "stabilizationWindowSeconds": 10,
        "selectPolicy": "Min",
        "policies": [{"type": "Percent", "value": 50, "periodSeconds": 30}],
    }
    assert own["scaleDown"]["selectPolicy"] == "Disabled"


def test_without_the_scaler_the_gateways_metrics_wake(tmp_path: Path) -> None:
    more = "scaling: {min: 0, max: 2, triggers: [{signal: demand, target: 16, activation: 2}, {signal: waiting, target: 0.5, route: r}]}"
    made = files(tmp_path, Options(scaler="prometheus"), deployment=more)
    demand, route, awake, _ = one(made, "ScaledObject", "f-d")["spec"]["triggers"]
    ours = '{namespace="f",deployment="d"}'
    assert demand["metadata"]["query"] == (
        f"sum(headrace_held{ours}) + sum(headrace_queued{ours}) + sum(headrace_running{ours})"
    )
    assert demand["metadata"]["threshold"] == "16"
    assert demand["metadata"]["activationThreshold"] == "2"
    assert route["metadata"]["query"] == (
        '1000 * ((sum(headrace_route_waiting{namespace="f",deployment="d",route="r"})'
        f" or 0 * sum(headrace_held{ours})))"
    )
    assert route["metadata"]["threshold"] == "500"  # KEDA's fallback cuts 0.5 to 0
    # two that run are not above 2, and none of them waits: KEDA would go to 0 under them
    assert awake["metadata"]["query"] == f"sum(headrace_running{ours})"
    assert (awake["metadata"]["activationThreshold"], awake["metadata"]["threshold"]) == (
        "0",
        "1000000",
    )
    assert not {"f-scaler"} & {
        one_["metadata"]["name"] for one_ in objects(made) if "metadata" in one_
    }


@pytest.mark.parametrize(
    ("scaling", "added"),
    [
        ("{min: 0, max: 1}", True),  # the default: what waits
        ("{min: 0, max: 1, triggers: [{signal: demand, target: 9, route: r}]}", True),
        ("{min: 0, max: 1, triggers: [{signal: demand, target: 9}]}", False),
        ("{min: 0, max: 1, triggers: [{signal: waiting, target: 9}, {signal: running, target: 9}]}", False),
        ("{min: 1, max: 2}", False),
    ],
)  # fmt: skip
def test_without_the_scaler_what_runs_keeps_awake(
    tmp_path: Path, scaling: str, added: bool
) -> None:
    spec = _spec(tmp_path, Options(scaler="prometheus"), deployment=f"scaling: {scaling}")
    assert ("awake" in [one_["name"] for one_ in spec["triggers"]]) is added
    assert "awake" not in [
        one_["name"] for one_ in _spec(tmp_path, deployment=f"scaling: {scaling}")["triggers"]
    ]


def test_what_is_lost_without_the_scaler_is_said(tmp_path: Path) -> None:
    (text,) = (
        file.text
        for file in files(tmp_path, Options(scaler="prometheus"), deployment=ZERO)
        if file.path == "22-d-scaling.yaml"
    )
    words = " ".join(line.strip(" #") for line in text.splitlines())
    assert "Scale to zero: it rests after 151 s without requests" in words  # 120 + 2 x 15 + 1
    assert "25 s instead of one or two" in words  # a scrape of 15 s and a poll of 10 s


def test_replicas_are_left_to_keda(tmp_path: Path) -> None:
    assert "replicas" not in one(files(tmp_path), "Deployment", "f-d")["spec"]
    bare = files(tmp_path, Options(without=frozenset({"keda"})))
    assert one(bare, "Deployment", "f-d")["spec"]["replicas"] == 1
    assert "ScaledObject" not in kinds(bare)
    fixed = files(tmp_path, deployment="scaling: {min: 2, max: 2, triggers: []}")
    assert one(fixed, "Deployment", "f-d")["spec"]["replicas"] == 2


def test_a_replica_over_nodes_is_scaled_as_a_group(tmp_path: Path) -> None:
    how = "tensor_parallel: 8\n    pipeline_parallel: 2"
    spec = _spec(tmp_path, hardware=f"{GPU}, per_node: 8, nodes: 2", deployment=how)
    assert spec["scaleTargetRef"] == {
        "apiVersion": "leaderworkerset.x-k8s.io/v1", "kind": "LeaderWorkerSet", "name": "f-d-group"
    }  # fmt: skip
