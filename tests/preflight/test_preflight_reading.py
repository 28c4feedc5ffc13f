"""Anybody's files: what cannot be read is a finding with its line, and nothing of it ever crashes."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from preflight_kit import MANIFESTS, clean, ids, look

from headrace.preflight.check import preflight
from headrace.preflight.yaml_nodes import MAX_VALUES, UnreadableError, parse


def test_fields_know_their_lines() -> None:
    root = parse("kind: A\nspec:\n  list:\n  - x: 1\n  - |\n    text\n", first_line=11)
    assert root is not None
    assert root.at("spec", "list", 0, "x").line == 14
    assert root.at("spec", "list", 1).text == "text\n"
    assert root.at("spec", "absent", "deeper").line == 12
    assert not root.at("spec", "absent")


def test_a_broken_document_hides_no_other() -> None:
    broken = "a: b: c\n---\n" + clean("chat").replace(
        "--shutdown-timeout=120", "--shutdown-timeout=0"
    )
    found = look(broken).open
    assert ids(found) == ["HR001", "HR306"]
    assert found[0].line == 1
    assert "--shutdown-timeout=0" in broken.splitlines()[found[1].line - 1]


def test_templates_are_named_as_such() -> None:
    found = look("kind: Deployment\nmetadata:\n  name: {{ .Values.name }}\n").open
    assert [(one.rule.id, one.line) for one in found] == [("HR002", 3)]


def test_definitions_of_kinds_are_passed_over() -> None:
    definition = (
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nspec: {}\n---\n"
    )
    assert look(definition + clean("chat")).objects == look(clean("chat")).objects == 8


def test_a_key_written_twice_is_an_error() -> None:
    found = look("kind: Service\nspec: {}\nkind: Pod\n").open
    assert [(one.rule.id, one.line) for one in found] == [("HR001", 3)]


def test_an_alias_bomb_is_refused() -> None:
    # Eight levels of ten: 10^8 values from 400 characters.
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    for level in range(1, 8):
        items = ", ".join([f"*a{level - 1}"] * 10)
        bomb += f"a{level}: &a{level} [{items}]\n"
    with pytest.raises(UnreadableError, match=f"{MAX_VALUES:,}"):
        parse(bomb)
    with pytest.raises(UnreadableError):
        parse("a: &a [*a]")
    with pytest.raises(UnreadableError):
        parse("[" * 3000)


def test_merges_and_aliases_are_followed() -> None:
    root = parse("x: &x {a: 1, b: 2}\ny:\n  <<: *x\n  b: 3\n")
    assert root is not None
    assert root["y"].plain() == {"a": 1, "b": 3}


def test_folders_are_read_and_other_yaml_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "chat.yml").write_text(clean("chat"))
    (tmp_path / "values.yaml").write_text("replicas: 3\nimage: {tag: latest}\n")
    (tmp_path / "notes.txt").write_text("kind: [")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "x.yaml").write_text("a: b: c")
    report = preflight([tmp_path])
    assert ids(report.findings) == []
    assert report.objects == 8


def test_a_file_named_twice_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "serving.yaml").write_text(clean("chat"), encoding="utf-8")
    report = preflight([tmp_path, tmp_path / "serving.yaml", tmp_path / ".." / tmp_path.name])
    assert (report.objects, ids(report.findings)) == (8, [])


def test_files_that_are_not_there_or_not_text(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"kind: \xe9")
    found = preflight([tmp_path / "absent.yaml", tmp_path / "latin.yaml"]).open
    assert ids(found) == ["HR001", "HR001"]
    assert "No such file" in found[0].message
    assert "that is there" in found[0].fix
    assert "quotes" in found[1].fix


def test_fleet_files_bring_their_own_problems(tmp_path: Path) -> None:
    examples = Path(__file__).parents[2] / "examples"
    report = preflight([examples / "twin.yaml"])
    assert (ids(report.findings), report.fleets) == ([], 1)
    wrong = tmp_path / "fleet.yaml"
    wrong.write_text(
        "fleet: x\nmodels: {m: {weights: nowhere}}\ndeployments: {}\nroutes: {}\nspeed: 3\n"
    )
    found = preflight([wrong]).open
    assert set(ids(found)) == {"HR004"}
    assert {one.line for one in found} >= {2, 5}


def test_flags_of_a_fleet_are_checked_by_its_engine(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "examples" / "laptop.yaml").read_text("utf-8")
    assert "flags: {" in text
    wrong = tmp_path / "fleet.yaml"
    wrong.write_text(text.replace("flags: {", "flags: {swap-space: 4, ", 1))
    found = preflight([wrong]).open
    assert ids(found) == ["HR004"]
    assert "swap-space" in found[0].message
    assert "swap-space" in wrong.read_text().splitlines()[found[0].line - 1]


_TEXTS = [file.read_text("utf-8") for file in sorted(MANIFESTS.rglob("*.yaml"))]
_WORDS = ["", "null", "[]", "{}", "-1", "1e999", "nan", "[[x]]", "{a: {b: [1]}}", '"$(X)"', "'%'"]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(_TEXTS), st.data())
def test_no_manifest_makes_it_stumble(text: str, data: st.DataObject) -> None:
    """Values of real manifests are replaced by strange ones: findings, never an exception."""
    lines = text.splitlines()
    for _ in range(data.draw(st.integers(1, 4))):
        number = data.draw(st.integers(0, len(lines) - 1))
        key, colon, _ = lines[number].partition(": ")
        lines[number] = f"{key}{colon}{data.draw(st.sampled_from(_WORDS))}"
    look("\n".join(lines))


@pytest.mark.parametrize("size", ["-1", "0"])
def test_a_group_of_no_pods_is_looked_at_like_one(size: str) -> None:
    look(clean("many-nodes").replace("size: 2", f"size: {size}"))


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=200))
def test_no_text_makes_it_stumble(text: str) -> None:
    look(text)
