"""What a finished request adds to the metrics, read from the text that Prometheus reads."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from made_records import record
from prometheus_client.parser import text_string_to_metric_families

from headrace.gateway.control import Demand
from headrace.gateway.metrics import Metrics, lane_gauges


def scraped(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """Samples above zero by name and labels, but the counters' times of creation and buckets."""
    families = text_string_to_metric_families(metrics.render().decode())
    return {
        (sample.name.removeprefix("headrace_"), *_values(sample.labels)): sample.value
        for family in families
        for sample in family.samples
        if sample.value and not sample.name.endswith(("_created", "_bucket"))
    }


def _values(labels: dict[str, str]) -> list[str]:
    """Route and deployment, then the rest; the text has them by the alphabet."""
    first = [labels[name] for name in ("route", "deployment") if name in labels]
    return first + [labels[name] for name in labels if name not in ("route", "deployment")]


def after(*records: Any, gauges: Iterable[Any] = ()) -> dict[tuple[str, ...], float]:
    metrics = Metrics(lambda: gauges)
    for one in records:
        metrics.of(one.route, one.deployment).observe(one)
    return scraped(metrics)


def test_fallbacks_limits_shedding_caches_and_cost_are_counted() -> None:
    found = after(
        record(
            fallbacks=[{"cause": "cold", "origin": "e"}, {"cause": "queue", "origin": "f"}],
            limits=[{"limit": "a", "enforced": False}], cached_tokens=64, cost=0.25,
        ),
        record(fallbacks=[{"cause": "cold", "origin": "e"}], cached_tokens=36, cost=0.5),
        record(
            outcome="refused", error="shed", shed=True, limits=[{"limit": "b", "enforced": True}]
        ),
    )  # fmt: skip
    expected = {
        ("fallbacks_total", "r", "d", "cold"): 2,
        ("fallbacks_total", "r", "d", "queue"): 1,
        ("limits_total", "r", "d", "counted"): 1,
        ("limits_total", "r", "d", "enforced"): 1,
        ("shed_total", "r", "d"): 1,
        ("cached_tokens_total", "r", "d"): 100,
        ("cost_total", "r", "d"): 0.75,
        ("requests_total", "r", "d", "ok"): 2,
        ("requests_total", "r", "d", "refused"): 1,
    }
    assert {key: found.get(key) for key in expected} == expected


def test_a_shadows_requests_count_nowhere_else() -> None:
    copy = record(shadow_of="a", ttft_s=2.0, tpot_s=None, cost=1.0, deployment="e")
    assert after(copy) == {
        ("shadow_requests_total", "r", "e", "ok"): 1,
        ("shadow_ttft_seconds_count", "r", "e"): 1,
        ("shadow_ttft_seconds_sum", "r", "e"): 2.0,
    }


def test_waiting_and_running_by_route() -> None:
    demand = Demand(
        deployment="d", held=1, queued=2, running=4, arrived=9, replicas={"d-0": 4},
        routes={"chat": (3, 1), "docs": (0, 3)},
    )  # fmt: skip
    found = after(gauges=lane_gauges([demand], 5, 7))
    assert found[("route_waiting", "chat", "d")] == 3
    assert found[("route_running", "docs", "d")] == 3
    assert found[("route_running", "chat", "d")] == 1
    assert found[("records_dropped_total",)] == 7
