"""`headrace rollout` and `headrace gateway`: wrong use, and fleets that are not up."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from headrace.cli.main import app
from headrace.local.errors import LocalError

EXAMPLE = Path(__file__).parents[2] / "examples" / "laptop.yaml"


@pytest.fixture(autouse=True)
def _nothing_is_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "give either FILE, or --resume, or --undo"),
        (["a.yaml", "--undo"], "give either FILE, or --resume, or --undo"),
        (["--undo", "--resume"], "give either FILE, or --resume, or --undo"),
        (["a.yaml", "--fleet", "b.yaml"], "FILE itself says which fleet is meant"),
        (["--resume", "--watch", "3s"], "--watch: goes with FILE only"),
        (["a.yaml", "--watch", "3"], "--watch: expected a duration with its unit"),
    ],
)
def test_wrong_use_says_what_is_right(arguments: list[str], expected: str) -> None:
    result = CliRunner().invoke(app, ["rollout", *arguments])
    assert result.exit_code == 2
    assert expected in result.output


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["rollout", str(EXAMPLE)], "no fleet 'laptop' is up; start it with `headrace up "),
        (["rollout", "--resume"], "no fleet is up; start one with `headrace up FILE`"),
        (["rollout", "--undo", "-f", str(EXAMPLE)], "this fleet is not up"),
        (["gateway", "replace"], "no fleet is up; start one with `headrace up FILE`"),
    ],
)
def test_without_a_fleet_it_says_how_to_start_one(arguments: list[str], expected: str) -> None:
    result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, LocalError)
    assert expected in str(result.exception)
