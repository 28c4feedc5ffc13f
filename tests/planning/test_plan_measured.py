"""Results beside the file reach explain, plan, its JSON and its page; stale ones say why."""

from __future__ import annotations

import io
import re
from pathlib import Path

import msgspec
import pytest
from plan_kit import fleet
from rich.console import Console

from headrace.evidence.deployment import fingerprint
from headrace.evidence.result import Evidence, Figure, Support, Variant, made
from headrace.evidence.store import evidence_folder, keep
from headrace.planning import plan_html
from headrace.planning.explain import explain, flags
from headrace.planning.page import page
from headrace.planning.plan import Plan, plan
from headrace.planning.report import report
from headrace.planning.subject import subject

SEQS = Support(setting="max_num_seqs", value=16, says="the knee")
FILE = "max_num_seqs: 16, max_model_len: 4096"
UNITS = {"requests": "requests/s", "ttft p50": "s", "prompt mean": "tokens"}


def figures(**changes: float) -> dict[str, Figure]:
    values = {
        "in flight": 4.0, "prompt mean": 600.0, "output mean": 200.0, "requests": 1.0, "ttft p50": 0.05,
    } | changes  # fmt: skip
    return {name: Figure(value=value, unit=UNITS.get(name, "")) for name, value in values.items()}


def measured_on(folder: Path, deployment: str = FILE, **fields: object) -> Evidence:
    file = fleet(folder, deployment=deployment)
    one = Variant(name="as it is", fingerprint=fingerprint(file, "d"), figures=figures())
    given = {"variants": (one,), "supports": (SEQS,), "experiment": "baseline"} | fields
    kept = made(deployment="d", **given)  # type: ignore[arg-type]
    keep(file.path, kept)
    return kept


def planned_now(folder: Path, deployment: str = FILE) -> Plan:
    return plan(subject(fleet(folder, deployment=deployment), "d"))


def printed(made_: Plan) -> str:
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(page(made_))
    return console.export_text()


def test_without_results_flags_of_the_file_say_so(tmp_path: Path) -> None:
    found = {
        one.name: one for one in flags(planned_now(tmp_path, "max_num_seqs: auto, kv_cache: 20GiB"))
    }
    assert found["kv_cache"].rests == "not measured"
    assert found["max_num_seqs"].rests == "the plan, not measured"
    assert found["tensor_parallel"].rests == ""  # nobody chose it
    assert found["model"].rests == ""


def test_a_result_is_cited_with_its_figure_and_day(tmp_path: Path) -> None:
    kept = measured_on(tmp_path)
    found = explain(planned_now(tmp_path), "max_num_seqs")
    assert found is not None
    assert str(found).endswith(f". Measured: the knee ({kept.id})")
    assert found.evidence == kept.id
    assert f"measured: the knee ({kept.id}" in printed(planned_now(tmp_path))


def test_a_changed_file_makes_it_stale_and_hides_its_figures(tmp_path: Path) -> None:
    measured_on(tmp_path)
    now = planned_now(tmp_path, FILE.replace("4096", "2048"))
    found = explain(now, "max_num_seqs")
    assert found is not None
    assert found.rests.endswith("max_model_len 4096 -> 2048")
    assert "stale" in found.rests
    assert report(now).measured == ()
    assert "measured, as it is" not in printed(now)


def test_figures_stand_beside_the_plan_of_the_same_requests(tmp_path: Path) -> None:
    kept = measured_on(tmp_path)
    now = planned_now(tmp_path)
    (one,) = report(now).measured
    assert (one.evidence, one.in_flight, one.prompt, one.output) == (kept.id, 4, 600, 200)
    pairs = {pair.name: pair for pair in one.pairs}
    assert set(pairs) == {"requests", "ttft p50"}
    # 4 in flight by Little's law: the rate is 4 over TTFT and 199 further tokens, each of which
    # reads 16 GB of weights at no more than 3.35 TB/s.
    assert 0.3 < pairs["requests"].planned < 4 / (199 * 16e9 / 3.35e12)
    assert pairs["requests"].off == pytest.approx(pairs["requests"].planned / 1.0 - 1)
    text = printed(now)
    assert "measured, as it is" in text
    assert re.search(r"requests +1 requests/s +[\d.]+ requests/s +", text)
    html = plan_html.plans("f", [now])
    assert "Measured beside planned" in html
    assert kept.id in html
    assert msgspec.json.decode(msgspec.json.encode(report(now)))["measured"][0]["pairs"][0]["off"]


def test_figures_that_are_not_valid_or_incomplete_stand_beside_nothing(tmp_path: Path) -> None:
    measured_on(tmp_path, doubts=("the client was late",), valid=False)
    assert report(planned_now(tmp_path)).measured == ()
    some = fingerprint(fleet(tmp_path, deployment=FILE), "d")
    few = Variant(name="x", fingerprint=some, figures={"requests": Figure(value=1)})
    none = Variant(name="y", fingerprint=some, figures=figures(**{"output mean": 0.0}))
    measured_on(tmp_path, variants=(few, none))
    assert report(planned_now(tmp_path)).measured == ()


def test_damage_is_a_note_of_the_plan(tmp_path: Path) -> None:
    kept = measured_on(tmp_path)
    path = evidence_folder(tmp_path / "fleet.yaml") / f"{kept.id}.json"
    path.write_text("<<<<<<< HEAD\n")
    assert any(str(path) in note for note in report(planned_now(tmp_path)).notes)


def test_what_the_plan_chose_can_be_measured_too(tmp_path: Path) -> None:
    auto = "max_num_seqs: auto, max_model_len: 4096"
    chosen = planned_now(tmp_path, auto).subject.deployment.max_num_seqs
    said = Support(setting="max_num_seqs", value=chosen, says="kept")
    measured_on(tmp_path, f"max_num_seqs: {chosen}, max_model_len: 4096", supports=(said,))
    found = explain(planned_now(tmp_path, auto), "max_num_seqs")
    assert found is not None
    assert found.origin == "auto"
    assert found.rests.startswith("measured: kept (")
