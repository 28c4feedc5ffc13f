"""Every command in the documents is one that the command line takes: verb, options and values.

So are experiments' names, and the knobs that `--set` changes.

What files they name need not be there, and nothing is run; `tests/real` runs those of the README.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from headrace.cli.main import app
from headrace.experiments.catalogue import EXPERIMENTS
from headrace.experiments.errors import ExperimentError
from headrace.experiments.experiment import Effort
from headrace.experiments.settings import with_changes

ROOT = Path(__file__).parents[2]
GUIDES = [ROOT / "README.md", *sorted((ROOT / "docs" / "how-to").rglob("*.md"))]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCED = re.compile(r"^```\w*\n(.*?)^```", re.DOTALL | re.MULTILINE)
QUOTED = re.compile(r"`(headrace [^`]+)`")
ENDS = {"|", ">", "2>", "&", "&&", ";"}
"""Words of the shell after which it is no longer the command's."""


def shown(text: str) -> Iterator[str]:
    """Yield the commands in code blocks."""
    for block in FENCED.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            said = line.strip().removeprefix("$ ")
            if said.startswith("headrace "):
                yield said


def mentioned(text: str) -> Iterator[str]:
    """Yield what stands between backticks: often a verb without what it needs."""
    for said in QUOTED.findall(FENCED.sub("", text)):
        yield " ".join(said.split())


def words_of(command: str) -> list[str]:
    """Return the words of a command after `headrace`, without comment, pipes and redirections."""
    words = shlex.split(command, comments=True)[1:]
    end = next((place for place, word in enumerate(words) if word in ENDS), len(words))
    return words[:end]


COMMAND: Any = typer.main.get_command(app)
MISSING = re.compile("does not exist|No such file")
"""What is said of files and folders: none of those in documents has to be there."""
UNKNOWN = re.compile("NoSuchOption|no verb|no experiment|--set")


def refusal(words: list[str]) -> str | None:
    """Return what the command line has against a command."""
    command = COMMAND
    while hasattr(command, "commands"):
        name = words[0] if words else ""
        if name not in command.commands and "run" in command.commands:
            name, words = "run", ["run", *words]  # as `headrace bench` does
        if name not in command.commands:
            return f"no verb '{name}'" if name and name != "--help" else None
        command, words = command.commands[name], words[1:]
    try:
        found = command.make_context(name, list(words)).params
    except typer.Exit:
        return None  # --help
    except Exception as error:  # noqa: BLE001 - whatever it has against it
        said = f"{type(error).__name__}: {getattr(error, 'message', error)}"
        return None if MISSING.search(said) else said
    return unlisted(found["name"], found["knobs"] or ()) if name == "experiment" else None


def unlisted(experiment: str, knobs: Iterable[str]) -> str | None:
    """Return what the catalogue has against an experiment, or one of its knobs."""
    if experiment == "list" or experiment.isupper():  # NAME stands for any
        return None
    if experiment not in EXPERIMENTS:
        return f"no experiment '{experiment}'"
    try:
        with_changes(EXPERIMENTS[experiment].settings[Effort.NORMAL], list(knobs))
    except ExperimentError as error:
        return str(error)
    return None


def refused(found: Iterable[str]) -> dict[str, str]:
    return {one: why for one in found if (why := refusal(words_of(one))) is not None}


@pytest.mark.parametrize("document", GUIDES, ids=lambda path: path.name)
def test_commands_in_guides_are_taken(document: Path) -> None:
    assert refused(shown(document.read_text())) == {}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_verbs_and_options_in_documents_exist(document: Path) -> None:
    found = refused(mentioned(document.read_text()))
    assert {one: why for one, why in found.items() if UNKNOWN.match(why)} == {}


def test_what_would_be_refused() -> None:
    for words in (["bench", "--nosuch"], ["evidence", "list", "--nosuch"], ["measure"],
                  ["evidence", "forget"], ["experiment", "baselines", "a.yaml"],
                  ["experiment", "baseline", "a.yaml", "--set", "mst=3"]):  # fmt: skip
        assert UNKNOWN.match(refusal(words) or ""), words
    for words in (["bench", "-c", "many"], ["plan", "a", "b", "c"], ["plan"]):
        assert refusal(words), words
    for words in (["bench", "-c", "8", "--file", "gone"], ["bench", "compare", "A", "B"],
                  ["experiment", "NAME", "FLEET"], ["experiment", "list"],
                  ["experiment", "baseline", "a.yaml", "--set", "most=3"]):  # fmt: skip
        assert refusal(words) is None, words
    page = "Say `headrace  up\nX`.\n```console\n$ headrace bench \\\n   -c 8 # why\n```\n"
    assert [words_of(one) for one in shown(page)] == [["bench", "-c", "8"]]
    assert list(mentioned(page)) == ["headrace up X"]
