"""The gateway's metrics for Prometheus, by route and deployment.

Counters and histograms (`tallies.py`) are cached children, so that a finished request costs
microseconds; gauges are read from the queues only when somebody scrapes. Names and labels are
listed once, here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.registry import Collector

from headrace.gateway.control import Demand, Stats
from headrace.gateway.records import Record
from headrace.gateway.tallies import Count, Counter, Histogram, Spread
from headrace.starts.figures import StartFigures

LABELS = ("route", "deployment")
LATENCY = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 600)
PER_TOKEN = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5)
"""Bounds of the histograms, in seconds; a cluster's alerts on promises pick theirs among them."""


class RouteMetrics:
    """One route's and deployment's children of every metric."""

    def __init__(self, metrics: Metrics, route: str, deployment: str) -> None:
        labels = self._labels = (route, deployment)
        self._metrics = metrics
        self._outcome = cache(lambda outcome: metrics.requests.labels(*labels, outcome))
        self._error = cache(lambda kind: metrics.errors.labels(*labels, kind))
        self._ttft = metrics.ttft.labels(*labels)
        self._tpot = metrics.tpot.labels(*labels)
        self._duration = metrics.duration.labels(*labels)
        self._held = metrics.wait.labels(*labels, "held")
        self._queued = metrics.wait.labels(*labels, "queued")
        self._continued = metrics.continuations.labels(*labels)
        self._input = metrics.input_tokens.labels(*labels)
        self._cached = metrics.cached_tokens.labels(*labels)
        self._output = metrics.output_tokens.labels(*labels)
        self._cost = metrics.cost.labels(*labels)
        self._shed = metrics.shed.labels(*labels)
        self._fallback = cache(lambda cause: metrics.fallbacks.labels(*labels, cause))
        self._limit = cache(lambda action: metrics.limits.labels(*labels, action))

    def refused(self, kind: str) -> None:
        """Count a request that never got far enough to have a record."""
        self._outcome("refused").inc()
        self._error(kind).inc()

    def observe(self, record: Record) -> None:
        """Count a finished request; nobody waits for a shadow's answers, so they count apart."""
        if record.shadow_of is not None:
            self._observe_shadow(record)
            return
        self._outcome(record.outcome).inc()
        if record.error is not None:
            self._error(record.error).inc()
        self._duration.observe(record.duration_s)
        self._held.observe(record.held_s)
        self._queued.observe(record.queued_s)
        _observe(self._ttft, record.ttft_s)
        _observe(self._tpot, record.tpot_s)
        _add(self._continued, record.continuations)
        _add(self._input, record.prompt_tokens)
        _add(self._cached, record.cached_tokens)
        _add(self._output, record.completion_tokens)
        _add(self._cost, record.cost)
        _add(self._shed, record.shed)
        for fallback in record.fallbacks:
            self._fallback(fallback.cause).inc()
        for touched in record.limits:
            self._limit("enforced" if touched.enforced else "counted").inc()

    def _observe_shadow(self, record: Record) -> None:
        """Count a copy; its children are made only here, because most routes have no shadow."""
        metrics, labels = self._metrics, self._labels
        metrics.shadows.labels(*labels, record.outcome).inc()
        _observe(metrics.shadow_ttft.labels(*labels), record.ttft_s)
        _observe(metrics.shadow_tpot.labels(*labels), record.tpot_s)


def _observe(histogram: Spread, value: float | None) -> None:
    if value is not None:
        histogram.observe(value)


def _add(counter: Count, amount: float | None) -> None:
    if amount:
        counter.inc(amount)


class Metrics:
    """All metrics of one gateway, in a registry of their own."""

    def __init__(self, gauges: Callable[[], Iterable[Metric]]) -> None:
        registry = self.registry = CollectorRegistry()
        self._routes: dict[tuple[str, str], RouteMetrics] = {}

        def counter(name: str, text: str, *more: str) -> Counter:
            found = Counter(f"headrace_{name}", text, (*LABELS, *more))
            registry.register(found)
            return found

        def histogram(name: str, text: str, buckets: tuple[float, ...], *more: str) -> Histogram:
            found = Histogram(f"headrace_{name}", text, (*LABELS, *more), buckets)
            registry.register(found)
            return found

        self.requests = counter("requests_total", "Finished requests by outcome", "outcome")
        self.errors = counter("errors_total", "Requests that ended badly, by kind", "kind")
        self.continuations = counter(
            "continuations_total", "Answers that another replica went on with"
        )
        self.input_tokens = counter("input_tokens_total", "Prompt tokens, as engines report them")
        self.cached_tokens = counter("cached_tokens_total", "Prompt tokens from the cache")
        self.output_tokens = counter("output_tokens_total", "Generated tokens")
        self.cost = counter("cost_total", "By the deployment's price, in the fleet's currency")
        self.fallbacks = counter("fallbacks_total", "To another deployment than given", "cause")
        self.limits = counter("limits_total", "Limits that requests were beyond", "action")
        self.shed = counter("shed_total", "Refused because others were more important")
        self.shadows = counter("shadow_requests_total", "Copies for shadows", "outcome")
        self.shadow_ttft = histogram("shadow_ttft_seconds", "As ttft, of copies", LATENCY)
        self.shadow_tpot = histogram("shadow_tpot_seconds", "As tpot, of copies", PER_TOKEN)
        self.ttft = histogram("ttft_seconds", "Arrival to first event", LATENCY)
        self.tpot = histogram("tpot_seconds", "Mean time between tokens of a request", PER_TOKEN)
        self.duration = histogram("request_seconds", "Arrival to end", LATENCY)
        self.wait = histogram(
            "wait_seconds", "Waiting for a ready replica (held) or for room (queued)",
            (0.001, *LATENCY), "kind",
        )  # fmt: skip
        registry.register(_Gauges(gauges))

    def of(self, route: str | None, deployment: str | None) -> RouteMetrics:
        """Return the metrics of a route; requests that matched none are counted under ""."""
        key = (route or "", deployment or "")
        found = self._routes.get(key)
        if found is None:
            found = self._routes[key] = RouteMetrics(self, *key)
        return found

    def render(self) -> bytes:
        """Return the text exposition."""
        return generate_latest(self.registry)


class _Gauges(Collector):
    def __init__(self, read: Callable[[], Iterable[Metric]]) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        yield from self._read()


def lane_gauges(demands: Iterable[Demand], connections: int, dropped: int) -> Iterator[Metric]:
    """Build the gauges from the lanes' demand."""
    held = GaugeMetricFamily("headrace_held", "Waiting for a ready replica", labels=["deployment"])
    queued = GaugeMetricFamily("headrace_queued", "Waiting for room", labels=["deployment"])
    running = GaugeMetricFamily("headrace_running", "Bound to a replica", labels=["deployment"])
    by_replica = GaugeMetricFamily(
        "headrace_replica_running", "Bound, by replica", labels=["deployment", "replica"]
    )
    route_waiting = GaugeMetricFamily(
        "headrace_route_waiting", "Held or queued, by route", labels=LABELS
    )
    route_running = GaugeMetricFamily(
        "headrace_route_running", "Bound to a replica, by route", labels=LABELS
    )
    for demand in demands:
        held.add_metric([demand.deployment], demand.held)
        queued.add_metric([demand.deployment], demand.queued)
        running.add_metric([demand.deployment], demand.running)
        for replica, count in demand.replicas.items():
            by_replica.add_metric([demand.deployment, replica], count)
        for route, (waiting, at_work) in demand.routes.items():
            route_waiting.add_metric([route, demand.deployment], waiting)
            route_running.add_metric([route, demand.deployment], at_work)
    yield from (held, queued, running, by_replica, route_waiting, route_running)
    yield GaugeMetricFamily("headrace_connections", "Open client connections", connections)
    yield CounterMetricFamily("headrace_records_dropped", "Records of requests lost", dropped)


def health_gauges(lanes: Iterable[tuple[Stats, bool]]) -> Iterator[Metric]:
    """Build the gauges of trust from each lane's statistics and whether all of it is suspect."""
    all_suspect = GaugeMetricFamily(
        "headrace_all_suspect", "1 while no ready replica is trusted", labels=["deployment"]
    )
    ejected = GaugeMetricFamily(
        "headrace_replica_ejected", "1 while it gets no work", labels=["deployment", "replica"]
    )
    for stats, suspect in lanes:
        all_suspect.add_metric([stats.deployment], float(suspect))
        for replica, one in stats.replicas.items():
            ejected.add_metric([stats.deployment, replica], float(bool(one.ejected)))
    yield from (all_suspect, ejected)


def stalled_gauge(clients: Mapping[str, int]) -> Metric:
    """Build the gauge of clients that leave an answer untaken, by deployment."""
    text = "Clients that do not take their answer"
    family = GaugeMetricFamily("headrace_stalled", text, labels=["deployment"])
    for deployment, count in clients.items():
        family.add_metric([deployment], count)
    return family


def start_metrics(lanes: Iterable[tuple[str, StartFigures | None]]) -> Iterator[Metric]:
    """Build what starts of replicas took: quantiles of each phase, as the cold-start ledger has it.

    All starts that are known count, those before this gateway included.
    """
    took = SummaryMetricFamily(
        "headrace_start_seconds", "Start of a replica, by phase", labels=["deployment", "phase"]
    )
    ended = CounterMetricFamily(
        "headrace_starts", "Starts of replicas by outcome", labels=["deployment", "outcome"]
    )
    for deployment, found in lanes:
        if found is None:
            continue
        for phase, one in found.phases.items():
            labels = {"deployment": deployment, "phase": phase}
            for quantile, value in (("0.5", one.p50), ("0.9", one.p90), ("0.99", one.p99)):
                took.add_sample(took.name, labels | {"quantile": quantile}, value)
            took.add_metric([deployment, phase], one.count, one.sum)
        for outcome in ("ready", "failed", "stopped"):
            ended.add_metric([deployment, outcome], getattr(found, outcome))
    yield from (took, ended)


def process_gauges(bodies: int) -> Iterator[Metric]:
    """Build the gauges of what the process holds: they should go back when its load does."""
    yield GaugeMetricFamily("headrace_body_bytes", "Request bodies held, in bytes", bodies)
    tasks = len(asyncio.all_tasks())
    yield GaugeMetricFamily("headrace_tasks", "Tasks of the event loop", tasks)
