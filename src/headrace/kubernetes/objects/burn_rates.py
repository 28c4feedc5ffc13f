"""Alerts on promises: how fast a route burns the 5 % of requests that its SLO lets be slow.

A route promises a TTFT and a TPOT at the 95th percentile, so its error budget is 5 % of requests.
Windows and factors are those of multi-window, multi-burn-rate alerts (Google's SRE workbook,
"Alerting on SLOs"): both windows of a pair must burn, so that an alert is neither late nor old.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from headrace.gateway.metrics import LATENCY, PER_TOKEN
from headrace.kubernetes.notes import Noted
from headrace.kubernetes.objects.workload import Workload
from headrace.routing.from_fleet import routes_of

BUDGET = 0.05
"""Share of requests that may be slow: the promise is for the 95th percentile."""


class Burn(NamedTuple):
    """Burning `factor` times too fast over both windows; `severity` says who hears of it."""

    factor: float
    long: str
    short: str
    severity: str


BURNS = (
    Burn(14.4, "1h", "5m", "page"),
    Burn(6, "6h", "30m", "page"),
    Burn(1, "3d", "6h", "ticket"),
)


def alerts(work: Workload) -> Iterator[tuple[Noted, str]]:
    """Yield the alerts of all promises of routes that lead to a deployment."""
    for route in routes_of(work.scene.fleet):
        if route.variants and route.variants[0].deployment != work.deployment_name:
            continue  # a route's alerts are its first deployment's, so that each is there once
        promises = (
            ("ttft", route.slo.ttft, LATENCY),
            ("tpot", route.slo.tpot, PER_TOKEN),
        )
        for name, seconds, buckets in promises:
            if seconds is not None:
                for burn in BURNS:
                    yield _alert(work, route.name, _Promise(name, seconds, buckets), burn)


class _Promise(NamedTuple):
    metric: str
    seconds: float
    buckets: tuple[float, ...]

    @property
    def bucket(self) -> float | None:
        """The smallest bucket that holds the promise; None: it is longer than all of them."""
        return next((one for one in self.buckets if one >= self.seconds), None)


def _alert(work: Workload, route: str, promise: _Promise, burn: Burn) -> tuple[Noted, str]:
    bad = BUDGET * burn.factor
    what = promise.metric.upper()
    expr = " and ".join(
        f"{_slow(work, route, promise, window)} > {bad:g}" for window in (burn.long, burn.short)
    )
    summary = (
        f"Route {route}: more than {bad:.0%} of requests miss {what} {promise.seconds:g} s"
        f" (over {burn.long} and {burn.short}); the promise lets {BUDGET:.0%} miss it"
    )
    alert = _name(promise.metric, burn)
    rule: dict[str, Any] = {
        "alert": alert,
        "expr": expr,
        "labels": {"severity": burn.severity, "fleet": work.scene.name, "route": route},
        "annotations": {"summary": summary},
    }
    return Noted(rule), _bucket_note(promise)


def _name(metric: str, burn: Burn) -> str:
    return f"Headrace{metric.capitalize()}BudgetBurns{burn.long.upper()}"


def _slow(work: Workload, route: str, promise: _Promise, window: str) -> str:
    """Return the share of requests in a window that were slower than promised."""
    labels = f'namespace="{work.scene.namespace}",route="{route}"'
    series = f"headrace_{promise.metric}_seconds"
    edge = "+Inf" if promise.bucket is None else f"{float(promise.bucket)}"
    good = f'sum(rate({series}_bucket{{{labels},le="{edge}"}}[{window}]))'
    return f"(1 - {good} / sum(rate({series}_count{{{labels}}}[{window}])))"


def _bucket_note(promise: _Promise) -> str:
    if promise.bucket is None:
        return f"{promise.seconds:g} s is beyond the histogram, so this can never fire"
    if promise.bucket == promise.seconds:
        return ""
    return (
        f"promised are {promise.seconds:g} s; the histogram's next bound is {promise.bucket:g} s:"
        " what lies between counts as kept"
    )
