"""The dashboard: Grafana's own model reads it, and a real parser every query that is rendered."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import promql_parser
import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard
from render_kit import EXAMPLES, example, files, objects, one

from headrace.engines.named import engine_named
from headrace.kubernetes.options import Options
from headrace.kubernetes.render import Rendered

FLEETS = ("twin.yaml", *(f"kubernetes/{path.name}" for path in EXAMPLES.glob("kubernetes/*.yaml")))
GRAFANAS = {"$__rate_interval": "1m", "$deployment": ".*", "$route": ".*"}


@cache
def _made(fleet: str, scaler: str = "external") -> list[Rendered]:
    return example(fleet, Options(scaler="prometheus" if scaler == "prometheus" else "external"))


def _dashboard(made: list[Rendered], name: str) -> dict[str, Any]:
    (text,) = one(made, "ConfigMap", f"{name}-dashboard")["data"].values()
    found: dict[str, Any] = json.loads(text)
    return found


def _name(made: list[Rendered]) -> str:
    named = (one_["metadata"]["name"] for one_ in objects(made) if one_["kind"] == "ConfigMap")
    (found,) = (name for name in named if name.endswith("-dashboard"))
    return str(found.removesuffix("-dashboard"))


def _of(fleet: str) -> dict[str, Any]:
    return _dashboard(_made(fleet), _name(_made(fleet)))


def _queries(dashboard: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (row, query) of all panels."""
    row = ""
    for panel in dashboard["panels"]:
        row = panel["title"] if panel["type"] == "row" else row
        yield from ((row, target["expr"]) for target in panel.get("targets", ()))


def _lost(ours: Any, theirs: Any, path: str = "") -> Iterator[str]:
    """Yield the paths of what another copy of some JSON lacks, or has otherwise."""
    if isinstance(ours, dict):
        for key, value in ours.items():
            yield from _lost(value, theirs.get(key, ...), f"{path}/{key}")
    elif isinstance(ours, list) and len(ours) == len(theirs):
        for index, value in enumerate(ours):
            yield from _lost(value, theirs[index], f"{path}/{index}")
    elif ours != theirs:
        yield path


@pytest.mark.parametrize("fleet", FLEETS)
def test_grafanas_own_model_knows_every_field(fleet: str) -> None:
    register_default_plugins()
    ours = _of(fleet)
    theirs = json.loads(JSONEncoder().encode(Dashboard.from_json(ours)))
    # the data source's own fields of an annotation, which the model has no room for
    own = {f"/annotations/list/0/{name}" for name in ("titleFormat", "textFormat", "step")}
    assert set(_lost(ours, theirs)) == own


@pytest.mark.parametrize("fleet", FLEETS)
def test_panels_have_ids_of_their_own_and_cover_no_other(fleet: str) -> None:
    panels = _of(fleet)["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels) > 15
    places = [panel["gridPos"] for panel in panels]
    assert all(one_["x"] >= 0 and one_["x"] + one_["w"] <= 24 for one_ in places)
    for a, b in combinations(places, 2):
        beside = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
        assert beside or a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"], (a, b)


def _expressions(made: list[Rendered]) -> Iterator[str]:
    """Yield all PromQL: of rules, of triggers, of panels."""
    for one_ in objects(made):
        if one_["kind"] == "PrometheusRule":
            for group in one_["spec"]["groups"]:
                yield from (rule["expr"] for rule in group["rules"])
        elif one_["kind"] == "ScaledObject":
            metadata = [trigger["metadata"] for trigger in one_["spec"]["triggers"]]
            yield from (found["query"] for found in metadata if "query" in found)
    yield from (query for _, query in _queries(_dashboard(made, _name(made))))


@pytest.mark.parametrize("scaler", ["external", "prometheus"])
@pytest.mark.parametrize("fleet", FLEETS)
def test_every_query_is_promql(fleet: str, scaler: str) -> None:
    found = list(_expressions(_made(fleet, scaler)))
    assert len(found) > 30
    for query in found:
        plain = query
        for name, value in GRAFANAS.items():
            plain = plain.replace(name, value)
        assert "$" not in plain
        promql_parser.parse(plain)


def test_engines_are_shown_by_the_metrics_that_their_versions_have() -> None:
    rows: dict[str, set[str]] = {}
    for row, query in _queries(_of("kubernetes/five-engines.yaml")):
        rows.setdefault(row, set()).update(
            re.findall(r"((?:vllm:|tgi_|sglang:|nv_|trtllm_)\w+)", query)
        )
    inside = {row.split()[1]: names for row, names in rows.items() if row.startswith("Inside")}
    # running, waiting, KV usage; hits and queries of the prefix cache, and preemptions: not all
    assert {name: len(names) for name, names in inside.items()} == {
        "vllm": 6, "sglang": 6, "tgi": 2, "triton": 1, "trtllm": 3
    }  # fmt: skip
    for row, names in rows.items():
        if row.startswith("Inside"):
            _, name, version = row.partition(":")[0].split()
            sources = engine_named(name, version).metric_sources().values()  # type: ignore[arg-type]
            known = {source.partition("{")[0] for those in sources for source in those}
            assert names <= known
        else:
            assert names == set()


def test_promises_are_drawn_with_the_line_that_they_should_stay_above(tmp_path: Path) -> None:
    made = files(tmp_path, route=", slo: {ttft: 2s}")
    panels = {panel["title"]: panel for panel in _dashboard(made, "f")["panels"]}
    assert "TPOT as promised" not in panels
    shown = panels["TTFT as promised"]
    (target,) = shown["targets"]
    labels = 'namespace="f",route="r"'
    assert target["expr"] == (
        f'sum(rate(headrace_ttft_seconds_bucket{{{labels},le="2.5"}}[30m]))'
        f" / sum(rate(headrace_ttft_seconds_count{{{labels}}}[30m]))"
    )
    assert "next bound is 2.5 s" in shown["description"]
    steps = shown["fieldConfig"]["defaults"]["thresholds"]["steps"]
    assert [step["value"] for step in steps] == [None, 0.95]


def test_cost_is_shown_where_there_is_a_price(tmp_path: Path) -> None:
    titles = {panel["title"] for panel in _dashboard(files(tmp_path), "f")["panels"]}
    assert "Cost per hour" not in titles
    priced = files(tmp_path, deployment="price: {input: 1, output: 2}")
    assert "Cost per hour" in {panel["title"] for panel in _dashboard(priced, "f")["panels"]}


def test_a_dashboard_is_told_from_that_of_another_namespace(tmp_path: Path) -> None:
    here, there = files(tmp_path), files(tmp_path, Options(namespace="elsewhere"))
    (key,), (other,) = (one(made, "ConfigMap", "f-dashboard")["data"] for made in (here, there))
    assert key != other  # the sidecar puts all into one folder
    first, second = _dashboard(here, "f"), _dashboard(there, "f")
    assert first["uid"] != second["uid"]
    assert first["title"] != second["title"]
    assert all('namespace="elsewhere"' in query for _, query in _queries(second))
    assert first == _dashboard(files(tmp_path), "f")


def test_without_prometheus_there_is_nothing_to_show(tmp_path: Path) -> None:
    made = files(tmp_path, Options(without=frozenset({"prometheus"})))
    assert "60-dashboard.yaml" not in {file.path for file in made}


def test_reviewers_see_one_query_a_line(tmp_path: Path) -> None:
    text = next(file.text for file in files(tmp_path) if file.path == "60-dashboard.yaml")
    queries = [line for line in text.splitlines() if '"expr"' in line]
    assert all(line.count('"expr"') == 1 for line in queries)
    others = [line for line in text.splitlines() if '"expr"' not in line]
    assert max(map(len, others)) < 160
