"""Alerts on Headrace itself in the cluster: gateways that know too little, a scaler that does.

Alerts on a deployment and its promises are in `rules.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from headrace.kubernetes import names
from headrace.kubernetes.notes import Noted, annotated
from headrace.kubernetes.objects.scene import Scene


def gateway_rules(scene: Scene) -> Noted:
    """Return the fleet's rules."""
    name = names.gateway(scene.name)
    group = {"name": f"{name}-failures", "rules": annotated(_rules(scene))}
    return Noted(
        {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "PrometheusRule",
            "metadata": scene.meta(name, names.GATEWAY, names.GATEWAY),
            "spec": {"groups": [group]},
        }
    )


def _rules(scene: Scene) -> Iterator[tuple[dict[str, Any], str]]:
    labels = f'namespace="{scene.namespace}"'
    gateways = f'{labels},container="{names.GATEWAY}"'
    yield (
        _alert(
            scene,
            "HeadraceGatewaysMissing",
            f"absent(headrace_connections{{{gateways}}})",
            "5m",
            "Prometheus reads no gateway: demand is unknown, and every alert on it is silent",
        ),
        "an alert on a series that is gone never fires; this one does",
    )
    yield (
        _alert(
            scene,
            "HeadraceEndpointsRefused",
            f"sum(increase(headrace_endpoint_failures_total{{{gateways}}}[10m])) > 5",
            "0m",
            "the API server refuses EndpointSlices to gateways: new Pods get no requests, and ones"
            " that terminate still do",
        ),
        "rights were taken away, or a NetworkPolicy cuts the API server off",
    )
    yield (
        _alert(
            scene,
            "HeadraceGatewaysApart",
            f"max(increase(headrace_neighbour_failures_total{{{gateways}}}[10m])) > 100",
            "0m",
            "gateways cannot ask each other what they let in, so each counts limits by itself: a"
            " key may get as many times its limit",
        ),
        "a NetworkPolicy cuts their admin port off; a rollout makes only a few failures",
    )
    yield (
        _alert(
            scene,
            "HeadraceFileRefused",
            f"sum(increase(headrace_file_refusals_total{{{gateways}}}[1h])) > 0",
            "0m",
            "an edited fleet file or key file cannot be used; the one before goes on. The gateway's"
            " log has the line",
        ),
        "a refused file changes nothing, so nobody notices",
    )
    if scene.scaled and scene.options.scaler == "external":
        unknown = f'headrace_scaler_unknown{{{labels},container="{names.SCALER}"}}'
        yield (
            _alert(
                scene,
                "HeadraceDemandUnknown",
                f"min by (deployment) (max_over_time({unknown}[2m])) > 0",
                "2m",
                "the scaler cannot sum up the gateways' demand, so counts are held where they are",
            ),
            "KEDA is told of an error rather than of zero",
        )


def _alert(scene: Scene, name: str, expr: str, wait: str, summary: str) -> dict[str, Any]:
    return {
        "alert": name,
        "expr": expr,
        "for": wait,
        "labels": {"severity": "page", "fleet": scene.name},
        "annotations": {"summary": summary},
    }
