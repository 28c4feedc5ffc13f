"""`headrace drill`: wrong use is said before anything is harmed, and nobody is harmed unasked."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from headrace.cli.main import app
from headrace.local.errors import LocalError


@pytest.fixture(autouse=True)
def _nothing_is_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_STATE", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "Missing option '--kind'"),
        (["--kind", "earthquake"], "'earthquake' is not one of 'kill', 'stop', 'hang', 'crash'"),
        (["--kind", "kill", "--tokens", "1"], "Invalid value for '--tokens'"),
        (["--kind", "kill", "--streams", "0"], "Invalid value for '--streams'"),
        (
            ["--kind", "mixed", "--every", "5"],
            "Invalid value for '--every': 5: expected a duration",
        ),
        (["--kind", "mixed", "--every", "0s"], "Invalid value for '--every': 0s: at least 1s"),
        (["--kind", "kill", "--duration", "x"], "Invalid value for '--duration': x: expected a"),
    ],
)
def test_wrong_use_says_what_is_right(arguments: list[str], expected: str) -> None:
    result = CliRunner().invoke(app, ["drill", *arguments])
    assert result.exit_code == 2
    assert expected in result.output


def test_without_a_fleet_it_says_how_to_start_one() -> None:
    result = CliRunner().invoke(app, ["drill", "--kind", "kill", "--yes"])
    assert isinstance(result.exception, LocalError)
    assert "no fleet is up; start one with `headrace up FILE`" in str(result.exception)
