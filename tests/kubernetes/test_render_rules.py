"""What is alerted on: promises by their error budget, failures by metrics that exist."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from render_kit import GPU, example, files, kinds, objects, one

from headrace.engines.named import engine_named
from headrace.gateway.control import Demand, ReplicaStats, Stats
from headrace.gateway.metrics import LATENCY, PER_TOKEN, Metrics, health_gauges, lane_gauges
from headrace.kubernetes.demand import Total
from headrace.kubernetes.gateway_metrics import PodMetrics, Seen
from headrace.kubernetes.options import Options
from headrace.kubernetes.scaler_pages import Standing, _Figures


def _rules(made: Any, name: str = "f-d") -> dict[str, dict[str, Any]]:
    groups = one(made, "PrometheusRule", name)["spec"]["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


def test_a_promise_burns_its_five_percent(tmp_path: Path) -> None:
    rules = _rules(files(tmp_path, route=", slo: {ttft: 1s}"))
    budget = {name: rule for name, rule in rules.items() if "Budget" in name}
    # 14.4, 6 and 1 times 5 % of requests may be slow
    shares = {name: set(re.findall(r"> ([\d.]+)", rule["expr"])) for name, rule in budget.items()}
    assert shares == {
        "HeadraceTtftBudgetBurns1H": {"0.72"},
        "HeadraceTtftBudgetBurns6H": {"0.3"},
        "HeadraceTtftBudgetBurns3D": {"0.05"},
    }
    windows = {
        name: re.findall(r"_bucket\{[^}]*\}\[(\w+)\]", rule["expr"])
        for name, rule in budget.items()
    }
    assert windows["HeadraceTtftBudgetBurns1H"] == ["1h", "5m"]
    assert windows["HeadraceTtftBudgetBurns6H"] == ["6h", "30m"]
    assert windows["HeadraceTtftBudgetBurns3D"] == ["3d", "6h"]


@pytest.mark.parametrize(
    ("slo", "edge"),
    [("ttft: 1s", "1.0"), ("ttft: 2s", "2.5"), ("tpot: 50ms", "0.05"), ("tpot: 60ms", "0.075"), ("ttft: 20m", "+Inf")],
)  # fmt: skip
def test_a_promise_is_held_against_a_bucket_that_exists(
    tmp_path: Path, slo: str, edge: str
) -> None:
    rules = _rules(files(tmp_path, route=f", slo: {{{slo}}}"))
    edges = {
        found for rule in rules.values() for found in re.findall(r'le="([^"]*)"', rule["expr"])
    }
    assert edges == {edge}
    known = {f"{float(one_)}" for one_ in (*LATENCY, *PER_TOKEN)} | {"+Inf"}
    assert edge in known


def test_a_shared_route_has_its_alerts_once() -> None:
    made = example("kubernetes/five-engines.yaml")
    with_promises = {
        one_["metadata"]["name"]
        for one_ in objects(made)
        if one_["kind"] == "PrometheusRule" and len(one_["spec"]["groups"]) > 1
    }
    assert with_promises == {"five-vllm-a"}


def _exported() -> str:
    """Return the page of a gateway that has seen a request."""
    demand = Demand(
        deployment="d", held=0, queued=0, running=0, arrived=0, replicas={"p": 0}, routes={"r": (0, 0)}
    )  # fmt: skip
    stats = Stats(deployment="d", window=1.0, replicas={"p": ReplicaStats()})
    metrics = Metrics(lambda: [*lane_gauges([demand], 0, 0), *health_gauges([(stats, False)])])
    metrics.of("r", "d")
    seen = Seen({"d": Counter(ready=1)}, {"d": 0}, 0, 0, 0)
    metrics.registry.register(PodMetrics(lambda: seen))
    total = Total(demand)
    standing = Standing(True, 1, 0, {"d": total}, 0, 0, 0, 0, {})
    scaler = CollectorRegistry()
    scaler.register(_Figures(lambda: standing))
    return f"{generate_latest(metrics.registry).decode()}{generate_latest(scaler).decode()}"


@pytest.mark.parametrize("scaler", ["external", "prometheus"])
def test_every_metric_of_ours_in_a_query_is_exported_with_its_labels(
    tmp_path: Path, scaler: str
) -> None:
    options = Options(scaler="prometheus") if scaler == "prometheus" else Options()
    deployment = "scaling: {min: 0, max: 2, triggers: [{signal: demand, target: 4}, {signal: demand, target: 4, route: r}]}"
    made = files(tmp_path, options, deployment=deployment, route=", slo: {ttft: 1s, tpot: 50ms}")
    text = " ".join(file.text for file in made).replace('\\"', '"')  # as JSON has it in a dashboard
    page = _exported()
    used = re.findall(r"(headrace_\w+)\{([^}]*)\}", text)
    assert len(used) > 10
    for name, labels in used:
        series = re.findall(rf"^{name}(?:\{{([^}}]*)\}})? ", page, re.MULTILINE)
        known = {label for found in series for label in re.findall(r"(\w+)=", found)}
        asked = set(re.findall(r"(\w+)=", labels)) - {"namespace", "container"}  # Prometheus' own
        if not series:  # a counter or histogram without a request yet
            kind = re.search(
                rf"^# TYPE {re.sub('_(bucket|count|total)$', '', name)}", page, re.MULTILINE
            )
            assert kind, name
            known = {"route", "deployment", "le"}
        assert asked <= known, name


@pytest.mark.parametrize("name", ["vllm", "tgi", "sglang", "triton", "trtllm"])
def test_engine_metrics_are_the_versions_own(name: str) -> None:
    made = example("kubernetes/five-engines.yaml")
    version = {
        "vllm": "0.32.0",
        "tgi": "3.3.7",
        "sglang": "0.5.23",
        "triton": "26.07",
        "trtllm": "1.2.1",
    }[name]
    known = {
        source.partition("{")[0]
        for sources in engine_named(name, version).metric_sources().values()  # type: ignore[arg-type]
        for source in sources
    }
    text = " ".join(file.text for file in made if f"-{name}-a-" in file.path)
    used = set(re.findall(r"((?:vllm:|tgi_|sglang:|nv_|trtllm_)\w+)\{", text))
    assert used
    assert {re.sub("_bucket$", "", one_) for one_ in used} <= known


def test_monitors_read_the_port_and_path_of_the_engine() -> None:
    made = example("kubernetes/five-engines.yaml")
    found = {
        one_["metadata"]["name"].removeprefix("five-"): (
            one_["spec"]["podMetricsEndpoints"][0]["port"],
            one_["spec"]["podMetricsEndpoints"][0]["path"],
        )
        for one_ in objects(made)
        if one_["kind"] == "PodMonitor"
    }
    assert found == {
        "gateway": ("admin", "/metrics"),
        "scaler": ("admin", "/metrics"),
        "vllm-a": ("http", "/metrics"),
        "tgi-a": ("metrics", "/metrics"),
        "sglang-a": ("http", "/metrics"),
        "triton-a": ("http", "/metrics"),
        "trtllm-a": ("http", "/prometheus/metrics"),
    }


def test_only_the_leader_of_a_group_is_read(tmp_path: Path) -> None:
    made = files(
        tmp_path,
        hardware=f"{GPU}, per_node: 8, nodes: 2",
        deployment="tensor_parallel: 8\n    pipeline_parallel: 2",
    )
    labels = one(made, "PodMonitor", "f-d")["spec"]["selector"]["matchLabels"]
    assert labels["headrace.dev/role"] == "leader"
    assert "HeadraceRolloutStuck" not in _rules(made)  # a Deployment's condition


def test_held_requests_page_once_a_start_should_be_over(tmp_path: Path) -> None:
    rule = _rules(files(tmp_path, deployment="lifecycle: {startup: 7m}"))["HeadraceHeldTooLong"]
    assert rule["for"] == "420s"


def test_without_prometheus_nothing_of_it_is_there(tmp_path: Path) -> None:
    made = files(tmp_path, Options(without=frozenset({"prometheus"})))
    assert not {"PodMonitor", "PrometheusRule"} & kinds(made)
    triggers = one(made, "ScaledObject", "f-d")["spec"]["triggers"]
    assert [one_["type"] for one_ in triggers] == ["external-push"]


def test_alerts_of_two_fleets_are_told_apart(tmp_path: Path) -> None:
    for name in ("f-d", "f-gateway"):
        for rule in _rules(files(tmp_path, route=", slo: {ttft: 1s}"), name).values():
            assert rule["labels"]["fleet"] == "f"
