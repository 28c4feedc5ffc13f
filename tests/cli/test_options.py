"""What options mean in one verb they mean in all: `--json` prints, a letter is one word's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

from headrace.cli.main import app

COMMAND: Any = typer.main.get_command(app)


def options(command: Any = COMMAND, path: str = "headrace") -> Iterator[tuple[str, Any]]:
    """Yield every verb with each of its options."""
    for name, one in getattr(command, "commands", {}).items():
        yield from options(one, f"{path} {name}")
    for one in command.params:
        if one.param_type_name == "option":
            yield path, one


def test_json_is_a_switch_that_prints_in_every_verb_that_has_it() -> None:
    found = {verb: one.is_flag for verb, one in options() if "--json" in one.opts}
    assert len(found) > 10
    assert [verb for verb, switch in found.items() if not switch] == []


def test_a_letter_stands_for_one_word() -> None:
    words: dict[str, set[str]] = {}
    for _, one in options():
        long = next(name for name in one.opts if name.startswith("--"))
        for short in {*one.opts} - {long}:
            words.setdefault(short, set()).add(long)
    assert len(words) > 5
    assert {short: long for short, long in words.items() if len(long) > 1} == {}


def test_where_results_go_has_one_name() -> None:
    assert {name for _, one in options() for name in one.opts if name.startswith("--out")} == {
        "--out"
    }
