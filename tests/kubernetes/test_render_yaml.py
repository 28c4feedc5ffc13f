"""What is written reads back the same by YAML 1.1 and 1.2 readers, with comments where they belong."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml as pyyaml
from render_kit import example, files
from ruamel.yaml import YAML

from headrace.kubernetes.notes import Listed, Noted
from headrace.kubernetes.yaml import write


def test_comments_stand_above_their_entries() -> None:
    container = Noted(
        {"name": "e", "args": Listed(["--a", "1"], {0: "why a"})}, {"args": "all of it"}
    )
    made = Noted(
        {"kind": "Pod", "spec": {"containers": [container]}}, {"spec": "two\nlines"}, head="first"
    )
    assert write([made, {"kind": "B"}], "what this is") == (
        "# what this is\n"
        "---\n"
        "# first\n"
        "kind: Pod\n"
        "# two\n"
        "# lines\n"
        "spec:\n"
        "  containers:\n"
        "  - name: e\n"
        "    # all of it\n"
        "    args:\n"
        "    # why a\n"
        "    - --a\n"
        '    - "1"\n'
        "---\n"
        "kind: B\n"
    )


def test_a_note_for_nothing_is_dropped() -> None:
    assert write([Noted({"a": 1}, {"b": "not there", "a": None})]) == "a: 1\n"


@pytest.mark.parametrize(
    "text",
    ["yes", "off", "No", "null", "~", "1", "1.5", "1e3", "0x1f", "017", "1_000", "12:30:45", ".5", "",
     "2026-11-28", "=", "<<", "+1", "-.inf", "1e", "a: b", "# x", "- x", "@x", "%x", "'", '"', "*a", "&a",
     " x ", "x\ty", "line\nline\n", "é", "$(A)", "{}", "[a]", "!x", "|", "y", "N"],
)  # fmt: skip
def test_every_string_stays_a_string_for_both_kinds_of_readers(text: str) -> None:
    made = write([{"a": text, "b": [text], text: "key"}])
    for read in (pyyaml.safe_load, YAML(typ="safe").load):
        assert read(made) == {"a": text, "b": [text], text: "key"}


def test_long_queries_stay_on_their_line() -> None:
    query = "sum(rate(x[5m])) " * 40
    assert f"  q: {query.strip()}\n" in write([{"m": {"q": query.strip()}}])


@pytest.mark.parametrize("fleet", ["laptop.yaml", "kubernetes/five-engines.yaml"])
def test_what_is_written_is_what_was_made(fleet: str) -> None:
    for file in example(fleet):
        assert list(pyyaml.safe_load_all(file.text)) == [dict(one) for one in file.objects]


def test_two_runs_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = files(tmp_path), files(tmp_path)
    assert [(one.path, one.text) for one in first] == [(one.path, one.text) for one in second]
