"""`headrace reload`: wrong use, and fleets that are not up."""

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


def test_a_file_says_itself_which_fleet_is_meant() -> None:
    result = CliRunner().invoke(app, ["reload", "a.yaml", "--fleet", "b.yaml"])
    assert result.exit_code == 2
    assert "FILE itself says which fleet is meant" in result.output


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "no fleet is up; start one with `headrace up FILE`"),
        ([str(EXAMPLE)], "no fleet 'laptop' is up; start it with `headrace up "),
        (["--fleet", str(EXAMPLE)], "the fleet is not up; start it with `headrace up FILE`"),
    ],
)
def test_without_a_fleet_it_says_how_to_start_one(arguments: list[str], expected: str) -> None:
    result = CliRunner().invoke(app, ["reload", *arguments])
    assert isinstance(result.exception, LocalError)
    assert expected in str(result.exception)
