"""`headrace starts` as a person meets it: tables, words, JSON, and sentences where there is nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner, Result

from headrace.cli.main import app
from headrace.local.errors import LocalError
from headrace.starts.ledger import kept_path, read, record, running_path
from headrace.starts.start import Start

LAPTOP = Path(__file__).parents[2] / "examples" / "laptop.yaml"


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HEADRACE_STATE", str(tmp_path / "s"))
    monkeypatch.setenv("HEADRACE_CACHE", str(tmp_path / "c"))
    monkeypatch.setenv("COLUMNS", "200")
    path = tmp_path / "laptop.yaml"
    path.write_text(LAPTOP.read_text())
    return path


def put(fleet: Path, number: int, **fields: Any) -> None:
    given: dict[str, Any] = {
        "id": f"smollm2-1@{number}", "deployment": "smollm2", "runtime": "local", "outcome": "ready",
        "began": f"2026-11-28T10:00:{number:02d}.000Z", "engine": "vllm", "version": "0.32.0",
        "model": "smollm2-135m", "hardware": "cpu", "phases": {"import": 6.0 + number, "load": 1.0},
    }  # fmt: skip
    record(running_path("laptop", fleet), Start(**given | fields))


def starts(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["starts", *map(str, arguments)])


def test_percentiles_by_phase_and_the_last_starts(fleet: Path) -> None:
    for number in range(3):
        put(fleet, number, resident=1.0)
    put(fleet, 9, outcome="failed", ended_in="load", why="no memory", restart=True)
    said = starts(fleet).output
    assert (
        "smollm2: vllm 0.32.0 with smollm2-135m on cpu, on this machine; 3 ready, 1 failed, 0 stopped"
        in said
    )
    assert ["import", "7.0", "7.8", "8.0", "8.0", "3"] in [
        line.split() for line in said.splitlines()
    ]
    assert "import takes 7.0 s, 88% of it" in said
    assert "1 of 4 failed, the last at 2026-11-28T10:00:09 in phase 'load': no memory" in said
    last = said.splitlines()[-1]
    assert "failed load" in last
    assert "again" in last


def test_what_was_prepared_before_a_start_began_is_told_apart(fleet: Path) -> None:
    put(fleet, 0, phases={"environment": 71.0, "import": 12.2, "load": 0.2})
    put(fleet, 1)
    first, second = starts(fleet).output.splitlines()[-2:]
    assert "83.4" in first
    assert "71.0 s of it before that, preparing" in first
    assert "preparing" not in second


def test_a_program_gets_all_of_it(fleet: Path) -> None:
    put(fleet, 0)
    found = json.loads(starts(fleet, "--json").output)
    assert found["summaries"][0]["seconds"]["total"] == {
        "count": 1,
        "p50": 7.0,
        "p90": 7.0,
        "p99": 7.0,
        "longest": 7.0,
    }
    assert found["starts"][0]["phases"] == {"import": 6.0, "load": 1.0}


def test_where_nothing_was_recorded_it_says_what_records(fleet: Path) -> None:
    done = starts(fleet)
    assert isinstance(done.exception, LocalError)
    assert "no start of fleet 'laptop' has been recorded: `headrace up" in str(done.exception)


def test_real_starts_are_kept_beside_the_file_and_count_from_there(
    fleet: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    put(fleet, 0)
    put(fleet, 1, emulated=True)
    assert "added 1" in starts(fleet, "--keep").output
    assert [one.emulated for one in read(kept_path(fleet)).starts] == [False]
    monkeypatch.setenv("HEADRACE_STATE", str(tmp_path / "another-machine"))
    assert "1 ready" in starts(fleet).output


def test_a_damaged_line_is_named_and_the_rest_counts(fleet: Path) -> None:
    put(fleet, 0)
    kept_path(fleet).write_text("<<<<<<< HEAD\n")
    done = starts(fleet)
    assert "laptop.starts.jsonl:1: this line is no start" in done.output
    assert "1 ready" in done.output
    done = starts(fleet, "--keep")
    assert isinstance(done.exception, LocalError)
    assert "mend or delete the line" in str(done.exception)


def test_twins_are_told_apart(fleet: Path) -> None:
    put(fleet, 0)
    put(fleet, 1, emulated=True, phases={"start": 1.0})
    said = starts(fleet).output
    assert "twins of vllm 0.32.0" in said
    assert said.count("; 1 ready") == 2


@pytest.mark.parametrize(
    "wrong", [["--cluster"], ["FILE", "--namespace", "x"], ["FILE", "--last", "-1"]]
)
def test_wrong_usage_is_refused(fleet: Path, wrong: list[str]) -> None:
    assert starts(*[fleet if word == "FILE" else word for word in wrong]).exit_code == 2


def test_a_ledger_of_another_version_with_more_fields_is_read(fleet: Path) -> None:
    put(fleet, 0)
    path = running_path("laptop", fleet)
    more = msgspec.json.decode(path.read_bytes()) | {"id": "n", "of_the_future": 1}
    path.write_bytes(path.read_bytes() + msgspec.json.encode(more) + b"\n")
    assert "2 ready" in starts(fleet).output


def test_a_narrow_terminal_folds_no_word_and_one_day_is_said_once(
    fleet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(fleet, 0, beside=1)
    put(fleet, 1, beside=2)
    monkeypatch.setenv("COLUMNS", "40")
    said = starts(fleet).output
    for word in ("smollm2-1", "ready", "beside 1 other\n", "2026-11-28T10:00:01"):
        assert word in said
    monkeypatch.setenv("COLUMNS", "200")
    assert "0 stopped, 2026-11-28\n" in starts(fleet).output
    assert "beside 2 others" in starts(fleet).output
