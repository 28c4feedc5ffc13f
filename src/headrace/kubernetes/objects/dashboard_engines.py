"""Panels of the inside of engines, a row for each engine and version in the fleet.

Names are those of the pinned version; what a version does not measure has no panel, so an empty
one always means that something is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from headrace.kubernetes.objects.grafana import SPAN, Curve, Panel, Row
from headrace.kubernetes.objects.queries import ENGINE_LABEL, STALE, engine_metric, select
from headrace.kubernetes.objects.workload import Workload


def rows(works: Sequence[Workload]) -> Iterator[Row]:
    """Yield the rows, in the order of engines' names and versions."""
    for (name, version), same in groupby(sorted(works, key=_which), key=_which):
        those = list(same)
        panels = list(_panels(those[0]))
        if panels:
            deployments = ", ".join(work.deployment_name for work in those)
            yield Row(f"Inside {name} {version}: {deployments}", panels)


def _which(work: Workload) -> tuple[str, str]:
    return work.engine.name, work.engine.version


def _panels(work: Workload) -> Iterator[Panel]:
    for make in (_requests, _cache, _prefixes, _preemptions):
        yield from make(_Metrics(work))


class _Metrics:
    """Queries on the metrics of an engine, over all deployments that are shown."""

    def __init__(self, work: Workload) -> None:
        self._work = work
        self._labels = f'namespace="{work.scene.namespace}",{ENGINE_LABEL}=~"$deployment"'

    @property
    def stale(self) -> str:
        """Why its gauges are no news; empty: they are."""
        return STALE.get(self._work.engine.name, "")

    def gauge(self, canonical: str, merge: str) -> str | None:
        """Return a gauge, merged over the Pods of a deployment; None: there is no such metric."""
        metric = engine_metric(self._work, canonical)
        return metric and f"{merge} by ({ENGINE_LABEL}) ({select(metric, self._labels)})"

    def rate(self, canonical: str) -> str | None:
        """Return a counter's rate per second, summed over the Pods of a deployment."""
        metric = engine_metric(self._work, canonical)
        return metric and f"sum by ({ENGINE_LABEL}) (rate({select(metric, self._labels)}[{SPAN}]))"


_LEGEND = f"{{{{{ENGINE_LABEL}}}}}"


def _requests(metrics: _Metrics) -> Iterator[Panel]:
    found = [(one, metrics.gauge(one, "sum")) for one in ("running", "waiting")]
    curves = [Curve(query, f"{_LEGEND} {one}") for one, query in found if query]
    if curves:
        about = metrics.stale or "Waiting inside engines is beside what gateways hold and queue."
        yield Panel("Requests inside", "short", curves, about)


def _cache(metrics: _Metrics) -> Iterator[Panel]:
    usage = metrics.gauge("kv_usage", "max")
    if usage:
        about = "Of the fullest replica. When it is full, requests wait or are computed twice."
        yield Panel("KV cache", "percentunit", [Curve(usage, _LEGEND)], metrics.stale or about)


def _prefixes(metrics: _Metrics) -> Iterator[Panel]:
    hits, queries = metrics.rate("prefix_hits"), metrics.rate("prefix_queries")
    if hits and queries:
        share = Curve(f"{hits} / {queries}", _LEGEND)
        about = "Share of prompt tokens that the prefix cache had."
        yield Panel("Prefix cache hits", "percentunit", [share], about)


def _preemptions(metrics: _Metrics) -> Iterator[Panel]:
    again = metrics.rate("preemptions")
    if again:
        about = "Requests that lost their place in a full KV cache and start again."
        yield Panel("Preemptions", "cps", [Curve(again, _LEGEND)], about)
