"""A dashboard in Grafana's JSON (version 10 and newer): rows of panels, and lists to pick by.

What the panels show is in `dashboard.py`. Whoever looks picks the Prometheus data source, routes
and deployments from lists above the panels.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

SCHEMA = 36
"""Of Grafana 10.0's dashboards; newer Grafanas migrate it when they load it."""
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
SPAN = "$__rate_interval"
"""What Grafana makes of the time shown: at least four scrapes."""
_WIDTH = 24
"""Columns of Grafana's grid."""
_LINE = 110
"""Characters of a line of JSON, where it can be."""
Kind = Literal["timeseries", "stat"]
_SIZES: Mapping[Kind, tuple[int, int]] = {"timeseries": (8, 8), "stat": (4, 4)}
"""Width and height of a panel in Grafana's grid."""


@dataclass(frozen=True)
class Curve:
    """A query, and what its series are called: `{{label}}` stands for a label's value."""

    query: str
    legend: str


@dataclass(frozen=True)
class Panel:
    """Curves of one unit (Grafana's name of it); `about` says what to read from them.

    `goal`: a line that values should stay above.
    """

    title: str
    unit: str
    curves: Sequence[Curve]
    about: str = ""
    goal: float | None = None
    kind: Kind = "timeseries"


@dataclass(frozen=True)
class Row:
    """Panels under a heading."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True)
class Choice:
    """A list above the panels: the values of a label of a metric. `$name` in queries is a regex."""

    name: str
    series: str
    label: str


def dashboard(
    title: str, identity: str, rows: Iterable[Row], choices: Iterable[Choice], events: str
) -> str:
    """Return a dashboard as JSON text, always the same for the same rows.

    `identity` tells it from all others for good, so links and an update find the same one. `events`
    is a query whose series are drawn as marks over the panels.
    """
    uid = hashlib.sha256(identity.encode()).hexdigest()[:20]
    listed = [_source(), *(_choice(one) for one in choices)]
    made = {
        "uid": uid,
        "title": title,
        "tags": ["headrace"],
        "schemaVersion": SCHEMA,
        "editable": True,
        "timezone": "browser",
        "graphTooltip": 1,  # the same moment is marked in all panels
        "time": {"from": "now-3h", "to": "now"},
        "refresh": "30s",
        "templating": {"list": listed},
        "annotations": {"list": [_events(events)]},
        "panels": list(_placed(rows)),
    }
    return _text(made) + "\n"


def _text(value: Any, indent: str = "") -> str:
    """Return JSON in which what fits a line is on one: people review it."""
    flat = json.dumps(value)
    if not isinstance(value, dict | list) or len(indent) + len(flat) <= _LINE:
        return flat
    inner = f"{indent} "
    if isinstance(value, dict):
        items = [f"{json.dumps(key)}: {_text(one, inner)}" for key, one in value.items()]
    else:
        items = [_text(one, inner) for one in value]
    first, last = "{}" if isinstance(value, dict) else "[]"
    body = f",\n{inner}".join(items)
    return f"{first}\n{inner}{body}\n{indent}{last}"


def _placed(rows: Iterable[Row]) -> Iterator[dict[str, Any]]:
    """Yield rows and panels at their places; a panel that no longer fits begins a new line."""
    top, number = 0, 0
    for row in rows:
        number += 1
        yield _heading(row.title, number, top)
        top += 1
        left = height = 0
        for panel in row.panels:
            width, tall = _SIZES[panel.kind]
            if left + width > _WIDTH:
                top, left, height = top + height, 0, 0
            number += 1
            place = {"x": left, "y": top, "w": width, "h": tall}
            yield {"id": number, "gridPos": place} | _panel(panel)
            left, height = left + width, max(height, tall)
        top += height


def _heading(title: str, number: int, top: int) -> dict[str, Any]:
    place = {"x": 0, "y": top, "w": _WIDTH, "h": 1}
    return {
        "id": number,
        "gridPos": place,
        "type": "row",
        "title": title,
        "collapsed": False,
        "panels": [],
    }


def _panel(panel: Panel) -> dict[str, Any]:
    fields: dict[str, Any] = {"unit": panel.unit, "min": 0}
    if panel.goal is not None:
        steps = [{"color": "red", "value": None}, {"color": "green", "value": panel.goal}]
        fields["max"] = 1
        fields["thresholds"] = {"mode": "absolute", "steps": steps}
        fields["custom"] = {"thresholdsStyle": {"mode": "line"}}
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": _SOURCE,
        "fieldConfig": {"defaults": fields, "overrides": []},
        "options": _options(panel.kind),
        "targets": [_target(one, index) for index, one in enumerate(panel.curves)],
    }


def _options(kind: Kind) -> dict[str, Any]:
    if kind == "stat":
        return {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}}
    return {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }


def _target(curve: Curve, index: int) -> dict[str, Any]:
    return {
        "refId": chr(ord("A") + index),
        "expr": curve.query,
        "legendFormat": curve.legend,
    }


def _source() -> dict[str, Any]:
    return {
        "name": "datasource",
        "label": "Prometheus",
        "type": "datasource",
        "query": "prometheus",
    }


def _choice(choice: Choice) -> dict[str, Any]:
    return {
        "name": choice.name,
        "type": "query",
        "datasource": _SOURCE,
        "query": f"label_values({choice.series}, {choice.label})",
        "refresh": 2,  # whenever the time changes: a route may be new
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "sort": 1,
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
    }


def _events(query: str) -> dict[str, Any]:
    return {
        "name": "alerts",
        "datasource": _SOURCE,
        "enable": True,
        "iconColor": "red",
        "expr": query,
        "titleFormat": "{{alertname}}",
        "textFormat": "{{route}} {{deployment}} ({{severity}})",
        "step": "60s",
    }
