"""The request log: rotation, a disk that fails, and bounds."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from headrace.gateway import records
from headrace.gateway.records import Log, Record


def record(ident: str) -> Record:
    return Record(
        id=ident, time=datetime(2026, 11, 23, 21, 0, 0, tzinfo=UTC), route="r", model="m",
        deployment="d", replica="d-0", path="/v1/completions", stream=True, status=200,
        outcome="ok", error=None, held_s=0.0, queued_s=0.0, ttft_s=0.1, duration_s=1.0, tpot_s=0.01,
        prompt_tokens=1, completion_tokens=2, tokens_from="usage", attempts=1, continuations=0, bytes=3,
    )  # fmt: skip


def ids(path: Path) -> list[str]:
    return [json.loads(line)["id"] for line in path.read_text().splitlines()]


def test_lines_are_appended_and_only_the_owner_reads_them(tmp_path: Path) -> None:
    log = Log(str(tmp_path / "log"))
    for ident in ("a", "b"):
        log.add(record(ident))
        log.flush()
    assert ids(tmp_path / "log") == ["a", "b"]
    line = json.loads((tmp_path / "log").read_text().splitlines()[0])
    assert line["time"] == "2026-11-23T21:00:00Z"
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600


def test_a_full_file_makes_room_for_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "ROTATE_AT", 1000)
    log = Log(str(tmp_path / "log"))
    for number in range(10):  # about 350 bytes each: two fit
        log.add(record(str(number)))
        log.flush()
    assert ids(tmp_path / "log.1") + ids(tmp_path / "log") == ["6", "7", "8", "9"]
    assert len(list(tmp_path.iterdir())) == 2


def test_a_disk_that_fails_costs_lines_and_nothing_else(tmp_path: Path) -> None:
    log = Log(str(tmp_path / "missing" / "log"))
    log.add(record("a"))
    log.flush()
    assert log.dropped == 1
    (tmp_path / "missing").mkdir()
    log.add(record("b"))
    log.flush()
    assert ids(tmp_path / "missing" / "log") == ["b"]


def test_lines_that_cannot_be_written_do_not_pile_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "MAX_BUFFERED", 3)
    log = Log(str(tmp_path / "log"))
    for number in range(5):
        log.add(record(str(number)))
    assert log.dropped == 2


def test_without_a_path_there_is_no_log() -> None:
    log = Log(None)
    log.add(record("a"))
    log.flush()
    assert log.dropped == 0
