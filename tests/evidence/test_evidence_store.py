"""Results are plain files that two branches can add, and damage is named, not fatal."""

from __future__ import annotations

import json
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from evidence_kit import DAY, plain, result

from headrace.evidence.result import Figure, made
from headrace.evidence.store import MAX_BYTES, EvidenceError, evidence_folder, keep, load


def git(folder: Path, *words: str) -> str:
    who = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
    done = subprocess.run(
        ["git", *who, *words], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_what_is_kept_is_read_again(tmp_path: Path) -> None:
    fleet, one = tmp_path / "laptop.yaml", result(plain())
    path = keep(fleet, one)
    assert path.parent == tmp_path / "laptop.evidence"
    assert path.name.startswith("2026-11-28-baseline-d-")
    assert path.read_text("utf-8").startswith('{\n  "version": 1,\n  "id": "2026-11-28-')
    assert load(fleet).results == (one,)
    assert keep(fleet, one) == path
    assert len(list(path.parent.iterdir())) == 1


def test_nothing_measured_yet(tmp_path: Path) -> None:
    assert load(tmp_path / "none.yaml").results == ()


def test_two_branches_that_measured_merge_without_a_conflict(tmp_path: Path) -> None:
    fleet = tmp_path / "fleet.yaml"
    fleet.write_text("fleet: f\n")
    git(tmp_path, "init", "-q", "-b", "main")
    first = keep(fleet, result(plain()))
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "one")
    for branch, seconds in (("alice", 1), ("bob", 2)):
        git(tmp_path, "checkout", "-q", "-b", branch, "main")
        keep(fleet, result(plain(), taken=DAY + timedelta(seconds=seconds)))
        same = result(plain(), taken=DAY + timedelta(seconds=9))
        keep(fleet, same)  # both copied this one
        git(tmp_path, "add", ".")
        git(tmp_path, "commit", "-q", "-m", branch)
    git(tmp_path, "merge", "-q", "--no-edit", "alice")
    found = load(fleet)
    assert [one.taken.second for one in found.results] == [0, 1, 2, 9]
    assert found.damaged == ()
    assert git(tmp_path, "status", "--porcelain") == ""
    assert first.exists()


DAMAGE = {
    "conflict": lambda text: f"<<<<<<< HEAD\n{text}=======\n{text}>>>>>>> bob\n",
    "edited": lambda text: text.replace('"value": 0.2', '"value": 0.1'),
    "cut": lambda text: text[: len(text) // 2],
    "empty": lambda _: "",
    "huge": lambda text: text + " " * MAX_BYTES,
    "deep": lambda _: "[" * 100_000,
    "list": lambda _: "[1]",
    "binary": lambda _: "\ud83d",
    "newer": lambda text: text.replace('"version": 1', '"version": 2'),
}


@pytest.mark.parametrize("kind", [*DAMAGE, "renamed", "folder"])
def test_damage_is_named_and_passed_over(tmp_path: Path, kind: str) -> None:
    fleet = tmp_path / "fleet.yaml"
    good = result(plain(), taken=DAY + timedelta(days=1))
    keep(fleet, good)
    path = keep(fleet, result(plain()))
    if kind == "renamed":
        path.rename(path.with_name("2026-11-28-baseline-d-00000000.json"))
    elif kind == "folder":
        path.unlink()
        path.mkdir()
    else:
        path.write_text(DAMAGE[kind](path.read_text("utf-8")), "utf-8", errors="surrogatepass")
    found = load(fleet)
    assert found.results == (good,)
    assert len(found.damaged) == 1
    assert "fleet.evidence/2026-11-28-baseline-d-" in found.damaged[0]
    assert "\n" not in found.damaged[0]


def test_other_files_in_the_folder_are_let_be(tmp_path: Path) -> None:
    fleet = tmp_path / "fleet.yaml"
    path = keep(fleet, result(plain()))
    (path.parent / "README.md").write_text("why")
    (path.parent / f".{path.name}.x1").write_text("half")
    assert len(load(fleet).results) == 1
    assert load(fleet).damaged == ()


def test_a_newer_version_may_add_fields(tmp_path: Path) -> None:
    fleet, one = tmp_path / "fleet.yaml", result(plain())
    content = json.loads(keep(fleet, one).read_bytes())
    keep(fleet, one).unlink()
    from headrace.evidence.result import identity  # noqa: PLC0415 - beside its one use

    content["weather"] = "cold"
    content["id"] = identity(content)
    (evidence_folder(fleet) / f"{content['id']}.json").write_text(json.dumps(content))
    assert [found.experiment for found in load(fleet).results] == ["baseline"]


def test_what_cannot_be_kept_says_why(tmp_path: Path) -> None:
    fleet = tmp_path / "fleet.yaml"
    with pytest.raises(EvidenceError, match="no number"):
        keep(fleet, result(plain(), figures={"x": Figure(value=float("nan"))}))
    with pytest.raises(EvidenceError, match=r"more than 1,048,576; keep raw"):
        keep(fleet, result(plain(), conclusion=("x" * MAX_BYTES,)))
    (tmp_path / "fleet.evidence").write_text("a file")
    with pytest.raises(EvidenceError, match=r"fleet\.evidence"):
        keep(fleet, result(plain()))


def test_names_are_safe_whatever_the_deployment_is_called() -> None:
    one = made(experiment="../x", deployment="A b/ü" * 20, variants=(), taken=DAY)
    assert one.id.startswith("2026-11-28-x-a-b-")
    assert "/" not in one.id
    assert len(one.id) < 90


def test_a_prefix_finds_one(tmp_path: Path) -> None:
    fleet = tmp_path / "fleet.yaml"
    old, new = result(plain()), result(plain(), taken=DAY + timedelta(days=1))
    keep(fleet, old)
    keep(fleet, new)
    known = load(fleet)
    assert known.find(old.id[-8:-3]) == old
    assert known.find("2026-11-29") == new
    with pytest.raises(EvidenceError, match="could be 2 results"):
        known.find("2026-11")
    with pytest.raises(EvidenceError, match="no result 'x'"):
        known.find("x")
    with pytest.raises(EvidenceError, match="no result ''"):
        known.find("")
