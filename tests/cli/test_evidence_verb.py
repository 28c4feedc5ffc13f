"""`headrace evidence` as a person types it: with and without a fleet file, wrong ids, damage."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jsonschema
import pytest
from typer.testing import CliRunner, Result

from headrace.capacity.efficiency import UNCALIBRATED
from headrace.cli.main import app
from headrace.evidence.deployment import fingerprint
from headrace.evidence.result import Evidence, Figure, Support, Variant, made
from headrace.evidence.store import EvidenceError, evidence_folder, keep
from headrace.fleet.load import load_fleet
from headrace.planning.calibrations import Calibration, Calibrations

FLEET = """\
fleet: f
models: {m: {weights: "hf://o/m@main"}}
hardware: {h: {kind: gpu, product: H100}}
deployments:
  d: {model: m, hardware: h, max_num_seqs: 16}
routes:
  r: {match: {model: [m]}, deployment: d}
"""
DAY = datetime.now(UTC).replace(month=6, day=1, hour=0, minute=0, second=0, microsecond=0)


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "fleet.yaml"
    file.write_text(FLEET, encoding="utf-8")
    return file


def run(*words: str) -> Result:
    return CliRunner().invoke(app, ["evidence", *words])


def kept(fleet: Path, ttft: float = 0.2, day: int = 0, **workload: int) -> Evidence:
    setting = fingerprint(load_fleet(fleet), "d", workload)
    figures = {"ttft p50": Figure(value=ttft, unit="s", low=ttft * 0.9, high=ttft * 1.1)}
    one = made(
        experiment="baseline",
        deployment="d",
        variants=(Variant(name="as it is", fingerprint=setting, figures=figures),),
        conclusion=("More than 16 only wait.",),
        supports=(Support(setting="max_num_seqs", value=16, says="knee"),),
        taken=DAY + timedelta(days=day),
    )
    keep(fleet, one)
    return one


def test_nothing_measured_says_where_to_begin(fleet: Path) -> None:
    assert f"headrace experiment baseline {fleet}" in run("list", str(fleet)).output


def test_who_stands_elsewhere_is_told_to_name_the_file(
    fleet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = kept(fleet)
    (fleet.parent / "elsewhere").mkdir()
    monkeypatch.chdir(fleet.parent / "elsewhere")
    assert "no fleet file in this folder has results; name one" in run("list").output
    refused = str(run("show", one.id).exception)
    assert str(Path.cwd()) in refused
    assert refused.endswith("give the same file with --fleet")


def test_a_list_says_what_still_holds(fleet: Path) -> None:
    one = kept(fleet)
    assert run("list").output.splitlines() == [one.id, "    More than 16 only wait."]
    assert run("list", str(fleet)).output.startswith(f"{one.id}  holds\n")
    fleet.write_text(FLEET.replace("16", "32"))
    assert f"{one.id}  stale: max_num_seqs 16 -> 32\n" in run("list", str(fleet)).output
    fleet.write_text(FLEET.replace("  d:", "  e:").replace("deployment: d", "deployment: e"))
    assert "no deployment d any more" in run("list", str(fleet)).output
    rows = [json.loads(line) for line in run("list", str(fleet), "--json").output.splitlines()]
    assert [row["id"] for row in rows] == [one.id]
    assert "any more" in rows[0]["now"]


def test_a_list_calls_stale_what_is_over_a_year_old(fleet: Path) -> None:
    days = (DAY - datetime.now(UTC)).days
    one = kept(fleet, day=-days - 400)
    assert f"{one.id}  stale: it is 13 months old\n" in run("list", str(fleet)).output


def test_a_list_says_how_many_doubts_there_are_and_why_one_is_not_valid(fleet: Path) -> None:
    setting = fingerprint(load_fleet(fleet), "d", {})
    rest = {"experiment": "baseline", "deployment": "d", "conclusion": ("More only wait.",)}
    variants = (Variant(name="as it is", fingerprint=setting),)
    doubted = made(**rest, variants=variants, doubts=("few answers", "a twin"), taken=DAY)
    early = made(
        **rest, variants=variants, doubts=("stopped early",), valid=False,
        taken=DAY + timedelta(days=1),
    )  # fmt: skip
    keep(fleet, doubted)
    keep(fleet, early)
    shown = run("list", str(fleet)).output.splitlines()
    assert shown[0] == f"{doubted.id}  holds, 2 doubts"
    assert shown[2:] == [
        f"{early.id}  not valid, 1 doubt", "    More only wait.", "    doubt: stopped early",
    ]  # fmt: skip
    assert f"{early.id}  not valid, 1 doubt" in run("list").output.splitlines()


def test_calibrations_are_listed_too(fleet: Path) -> None:
    one = Calibration(
        accelerator="H100", engine="0.32.0", model="m", parameters=1, run="r.jsonl", requests=300,
        fitted="2026-11-20", efficiency=UNCALIBRATED,
    )  # fmt: skip
    Calibrations.beside(fleet).learned(one).write()
    for words in (["list"], ["list", str(fleet)]):
        assert "calibration 2026-11-20, m\n" in run(*words).output
    row = json.loads(run("list", "--json").output)
    assert row["calibration"]["accelerator"] == "H100"


def test_one_is_shown_by_the_beginning_of_its_digest(fleet: Path) -> None:
    one, other = kept(fleet), kept(fleet, day=1)
    shown = run("show", one.id[-8:-3])
    assert shown.exit_code == 0
    assert one.id in shown.output
    assert "ttft p50: 200 ms (180 ms to 220 ms)" in shown.output
    assert json.loads(run("show", other.id, "--json").output)["id"] == other.id


def test_two_are_compared_settings_first(fleet: Path) -> None:
    old = kept(fleet, 0.2, rate=1)
    fleet.write_text(FLEET.replace("16", "32"))
    new = kept(fleet, 0.4, day=1, rate=2)
    text = run("compare", old.id[-8:], new.id[-8:], "--fleet", str(fleet)).output
    assert text.startswith("settings: max_num_seqs 16 -> 32\nworkloads: rate 1 -> 2\n")
    assert "asked different things" in text
    assert "x 2" in text
    assert "differs" in text
    found = json.loads(run("compare", old.id, new.id, "--json").output)
    assert found["rows"][0]["ratio"] == pytest.approx(2)


def test_wrong_words_are_answered(fleet: Path) -> None:
    kept(fleet)
    kept(fleet, day=1)
    for words, said in (
        (("show", "zzz"), "no result 'zzz'; see `headrace evidence list FLEET`"),
        (("show", str(DAY.year)), "could be 2 results"),
        (("show", "x", "--fleet", "absent.yaml"), "absent.yaml: there is no such fleet file"),
        (("list", "absent.yaml"), "absent.yaml: there is no such fleet file"),
    ):
        result = run(*words)
        assert isinstance(result.exception, EvidenceError)
        assert said in str(result.exception)
    assert run("compare", "x").exit_code == 2


def test_a_file_that_cannot_be_planned_still_has_its_results(fleet: Path) -> None:
    one = kept(fleet)
    fleet.write_text(FLEET.replace("16", "auto"))  # nobody knows the model o/m
    result = run("list", str(fleet))
    assert (result.exit_code, one.id in result.output) == (0, True)
    assert "nothing is said of now" in result.stderr


def test_damage_is_a_warning(fleet: Path) -> None:
    one, other = kept(fleet), kept(fleet, day=1)
    (evidence_folder(fleet) / f"{one.id}.json").write_text("{")
    result = CliRunner().invoke(app, ["evidence", "list"])
    assert other.id in result.output
    assert "headrace: warning: fleet.evidence/" in result.stderr


def test_the_reference_is_current_and_kept_results_fit_the_schema(fleet: Path) -> None:
    page = Path(__file__).parents[2] / "docs" / "reference" / "evidence.md"
    made_ = run("schema", "--markdown").output
    assert page.read_text("utf-8") == made_, (
        "run `headrace evidence schema --markdown > docs/reference/evidence.md`"
    )
    one = kept(fleet)
    content = json.loads((evidence_folder(fleet) / f"{one.id}.json").read_bytes())
    validator = jsonschema.Draft202012Validator(json.loads(run("schema").output))
    validator.validate(content)
    assert not validator.is_valid({**content, "variants": [{"name": 3}]})
