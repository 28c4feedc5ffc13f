"""A ledger whose file is busy, broken, full or gone: it goes on, says so once, and catches up."""

from __future__ import annotations

import sqlite3
import stat
from pathlib import Path

import pytest
from ledger_kit import START, Clock, admitted, granted, refused, subject

from headrace.ledger import books
from headrace.ledger.ledger import Ledger
from headrace.ledger.report import read_usage

KEY = subject(requests_per_minute=10)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(books, "BUSY_PAUSE", 0.0)
    monkeypatch.setattr(books, "BROKEN_PAUSE", 0.0)
    return tmp_path / "usage.db"


def left(file: Path) -> int:
    """How many requests the file says are left of ten."""
    (used,) = read_usage(file, START)
    assert used.requests is not None
    return used.requests.remaining


def test_while_others_have_the_file_what_was_known_last_counts(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = Ledger(str(file), clock=Clock(), patience=0.001)
    assert admitted(ledger, KEY, times=3) == 3
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert admitted(ledger, KEY, times=20) == 7
    assert ledger.missed == 20
    other.execute("ROLLBACK")
    other.close()
    assert left(file) == 7
    ledger.tick()
    assert left(file) == 0
    assert not ledger.broken
    assert capsys.readouterr().err == ""
    ledger.close()


def test_a_busy_file_is_left_alone_for_a_while(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(books, "BUSY_PAUSE", 3600.0)
    ledger = Ledger(str(file), clock=Clock(), patience=0.0)
    granted(ledger.admit([KEY], 0, None))
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    granted(ledger.admit([KEY], 0, None))
    other.execute("ROLLBACK")
    other.close()
    granted(ledger.admit([KEY], 0, None))
    assert left(file) == 9  # nobody asked it again
    ledger.close()
    assert left(file) == 7


def test_a_broken_file_is_said_once_and_caught_up_with(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_bytes(b"this is no database" * 100)
    ledger = Ledger(str(file), clock=Clock())
    assert admitted(ledger, KEY, times=20) == 10
    ledger.tick()
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith(f"gateway: {file}, where all gateways count")
    assert "not a database" in said
    assert "remove it" in said
    assert "not a database" in ledger.broken
    assert file.read_bytes().startswith(b"this is")  # nobody's file is replaced
    file.unlink()
    ledger.tick()
    assert ledger.broken == ""
    assert capsys.readouterr().err == f"gateway: limits count in {file} again\n"
    assert left(file) == 0
    ledger.close()


def test_a_folder_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ledger = Ledger(str(tmp_path / "none" / "usage.db"), clock=Clock())
    assert admitted(ledger, KEY, times=20) == 10
    assert "No such file" in capsys.readouterr().err
    ledger.close()


def test_a_full_disk(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(books, "BROKEN_PAUSE", 3600.0)
    ledger = Ledger(str(file), clock=Clock())
    granted(ledger.admit([KEY], 0, None))
    connection = ledger._books._file._connection  # type: ignore[union-attr]  # there is one
    assert connection is not None
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")
    many = [subject(f"key {number}", requests_per_minute=1) for number in range(300)]
    for one in many:
        granted(ledger.admit([one], 0, None))
        refused(ledger.admit([one], 0, None))
    said = capsys.readouterr().err
    assert "(database or disk is full)" in said
    assert said.count("\n") == 1
    assert admitted(ledger, KEY, times=20) == 9
    ledger.close()  # by now there is room
    assert len(read_usage(file, START)) == 301
    assert capsys.readouterr().err == f"gateway: limits count in {file} again\n"


def test_a_file_that_breaks_while_it_is_used(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = Ledger(str(file), clock=Clock())
    assert admitted(ledger, KEY, times=4) == 4
    with file.open("r+b") as opened:
        opened.truncate(0)
    for ending in ("-wal", "-shm"):
        file.with_name(file.name + ending).write_bytes(b"x" * 40_000)
    assert admitted(ledger, KEY, times=20) <= 10
    ledger.tick()
    ledger.close()
    assert "Traceback" not in capsys.readouterr().err


def test_a_file_that_is_removed_is_made_again(file: Path) -> None:
    ledger = Ledger(str(file), clock=Clock())
    assert admitted(ledger, KEY, times=10) == 10
    for one in file.parent.iterdir():
        one.unlink()
    ledger.tick()
    assert admitted(ledger, KEY, times=20) == 10  # who removes it forgives
    assert left(file) == 0
    ledger.close()


def test_only_its_owner_reads_it(file: Path) -> None:
    ledger = Ledger(str(file), clock=Clock())
    granted(ledger.admit([KEY], 0, None))
    for one in file.parent.iterdir():
        assert stat.S_IMODE(one.stat().st_mode) == 0o600
    ledger.close()


def test_a_file_of_another_version_is_left_alone(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = sqlite3.connect(file)
    other.execute("PRAGMA user_version = 9")
    other.close()
    ledger = Ledger(str(file), clock=Clock())
    granted(ledger.admit([KEY], 0, None))
    assert "another version of Headrace" in capsys.readouterr().err
    ledger.close()
