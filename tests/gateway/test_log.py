"""The buffer between the event loop and the store: nothing waits for it, nothing piles up in it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from made_records import record

from headrace.gateway import history, log
from headrace.gateway.control import Store
from headrace.gateway.history import Wanted
from headrace.gateway.log import Log


def ids(path: Path) -> list[str]:
    return [one.record.id for one in sorted(history.select(path, Wanted(limit=10_000)))]


def logging_to(path: Path) -> Log:
    made = Log()
    made.configure(Store(path=str(path)))
    return made


async def test_records_are_written_soon_and_the_rest_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "FLUSH_EVERY", 0.0)
    made = logging_to(tmp_path / "a")
    made.add(record("1"))
    await made.write_soon()
    assert ids(tmp_path / "a") == ["1"]
    made.add(record("2"))
    made.close()
    assert not (tmp_path / "a-wal").exists()  # all is in the file itself
    assert ids(tmp_path / "a") == ["1", "2"]


async def test_a_write_that_is_under_way_at_the_end_loses_and_doubles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "FLUSH_EVERY", 0.0)
    made = logging_to(tmp_path / "a")
    made.flush()  # the file is open: both will write by one connection
    for n in range(5000):
        made.add(record(f"{n:04}"))
    writing = asyncio.create_task(made.write_soon())
    while made._waiting:  # noqa: ASYNC110 - it signals nothing when the thread takes over
        await asyncio.sleep(0)
    writing.cancel()
    made.add(record("last"))
    made.close()
    assert ids(tmp_path / "a") == [*(f"{n:04}" for n in range(5000)), "last"]


def test_a_new_place_counts_from_the_next_write_on(tmp_path: Path) -> None:
    made = logging_to(tmp_path / "a")
    made.add(record("1"))
    made.flush()
    made.configure(Store(path=str(tmp_path / "b")))
    made.add(record("2"))
    made.close()
    assert (ids(tmp_path / "a"), ids(tmp_path / "b")) == (["1"], ["2"])


def test_what_the_disk_does_not_take_is_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = logging_to(tmp_path / "missing" / "a")
    for _ in range(2):
        made.add(record())
        made.flush()
    made.close()
    assert made.dropped == 2
    said = capsys.readouterr().err
    assert said.startswith(f"gateway: records of requests cannot be written to {tmp_path}")
    assert said.count("\n") == 1


def test_records_that_wait_are_bounded_in_number_and_in_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "MAX_BUFFERED", 3)
    monkeypatch.setattr(log, "MAX_TEXT", 100)
    made = logging_to(tmp_path / "a")
    made.add(record("a", prompt="x" * 60, answer="y" * 40))
    made.add(record("b", prompt="x"))
    assert made.dropped == 1
    for ident in "cde":
        made.add(record(ident))
    assert made.dropped == 2
    made.flush()
    made.add(record("f", prompt="x" * 100))
    made.close()
    assert ids(tmp_path / "a") == ["a", "c", "d", "f"]


def test_without_a_place_nothing_is_kept() -> None:
    made = Log()
    made.add(record())
    made.close()
    assert (made.dropped, made._waiting) == (0, [])
