"""Alerts on promises: how fast a route burns the 5 % of requests that its SLO lets be slow.

Windows and factors are those of multi-window, multi-burn-rate alerts (Google's SRE workbook,
"Alerting on SLOs"): both windows of a pair must burn, so that an alert is neither late nor old.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from headrace.kubernetes.notes import Noted
from headrace.kubernetes.objects.promises import BUDGET, Promise, promises
from headrace.kubernetes.objects.workload import Workload


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
    """Yield the alerts of the promises of routes that lead to a deployment first.

    So each is there once, whatever else the route leads to.
    """
    for promise in promises(work.scene):
        if promise.deployment == work.deployment_name:
            for burn in BURNS:
                yield _alert(work, promise, burn), promise.note


def _alert(work: Workload, promise: Promise, burn: Burn) -> Noted:
    bad = BUDGET * burn.factor
    expr = " and ".join(
        f"(1 - {promise.kept(window)}) > {bad:g}" for window in (burn.long, burn.short)
    )
    summary = (
        f"Route {promise.route}: more than {bad:.0%} of requests miss {promise.metric.upper()}"
        f" {promise.seconds:g} s (over {burn.long} and {burn.short}); the promise lets"
        f" {BUDGET:.0%} miss it"
    )
    rule: dict[str, Any] = {
        "alert": _name(promise.metric, burn),
        "expr": expr,
        "labels": {
            "severity": burn.severity,
            "fleet": work.scene.name,
            "route": promise.route,
        },
        "annotations": {"summary": summary},
    }
    return Noted(rule)


def _name(metric: str, burn: Burn) -> str:
    return f"Headrace{metric.capitalize()}BudgetBurns{burn.long.upper()}"
