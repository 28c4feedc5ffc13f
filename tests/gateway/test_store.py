"""The store of records: what is kept, for how long, by whom, and what a bad disk costs."""

from __future__ import annotations

import contextlib
import resource
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_records import record

from headrace.gateway import history
from headrace.gateway.control import Store
from headrace.gateway.history import Wanted
from headrace.gateway.records import Record
from headrace.gateway.store import RequestStore

MIB = 2**20


class Kept:
    """A store in a folder, what it said, and what is in it."""

    def __init__(self, folder: Path, **config: Any) -> None:
        self.path = folder / "requests.db"
        self.said: list[str] = []
        self.store = RequestStore(Store(path=str(self.path), **config), self.said.append)

    def write(self, *records: Record) -> int:
        return self.store.write(records)

    def ids(self) -> list[str]:
        found = history.select(self.path, Wanted(limit=10**6))
        return [one.record.id for one in sorted(found)]

    def bytes(self) -> int:
        return sum(file.stat().st_size for file in self.path.parent.glob("requests.db*"))


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    made = Kept(tmp_path)
    yield made
    made.store.close()


def test_a_record_comes_back_whole(kept: Kept) -> None:
    full = record(
        "x", rule="model is m", variant="d", scores=[{"replica": "d-0", "score": 1.5, "cached": 7}],
        tried=[{"replica": "d-0", "start_s": 0.0, "duration_s": 1.0}], cost=0.25, key="k",
        fallbacks=[{"cause": "cold", "origin": "e"}], limits=[{"limit": "l", "enforced": False}],
        trace={"trace_id": "0" * 31 + "1", "span_id": "0" * 15 + "2"}, prompt="été\n\0\u2028",
    )  # fmt: skip
    assert kept.write(full, record("y")) == 0
    assert [one.record for one in history.by_id(kept.path, "x")] == [full]
    assert kept.ids() == ["x", "y"]


def test_only_the_owner_reads_it(kept: Kept) -> None:
    kept.path.touch(0o644)
    kept.write(record())
    modes = {one.name: one.stat().st_mode & 0o777 for one in kept.path.parent.iterdir()}
    assert modes == dict.fromkeys(("requests.db", "requests.db-wal", "requests.db-shm"), 0o600)


def test_the_size_is_bounded_and_the_oldest_go_first(tmp_path: Path) -> None:
    kept, written, largest = Kept(tmp_path, max_size=MIB), 0, 0
    for _ in range(40):
        assert kept.write(*(record(f"{written + n:06}") for n in range(100))) == 0
        written += 100
        largest = max(largest, kept.bytes())
    ids = kept.ids()
    kept.store.close()
    assert ids == [f"{n:06}" for n in range(written - len(ids), written)]
    # 4000 records of some 600 bytes are 2.4 MB; more than half a MiB is kept, and no more than one
    # beside the 32 KiB of the index of the write-ahead log.
    assert len(ids) * 600 > MIB / 2
    assert largest <= MIB + 2**15


def test_a_smaller_bound_gives_the_disk_back(tmp_path: Path) -> None:
    kept = Kept(tmp_path, max_size=16 * MIB)
    kept.write(*(record(str(n), prompt="x" * 1000) for n in range(1500)))
    kept.store.close()
    assert kept.bytes() > 2 * MIB
    less = Kept(tmp_path, max_size=MIB)
    for _ in range(8):  # each does a bounded part of it
        less.write()
    less.store.close()
    assert kept.bytes() <= MIB
    assert less.ids()[-1] == "1499"


def test_what_is_too_old_goes_by_its_end_not_by_its_beginning(tmp_path: Path) -> None:
    kept = Kept(tmp_path, max_age=60.0)
    kept.write(record("old", ago=61), record("long", ago=1, duration_s=3600.0), record("new"))
    kept.write()
    kept.store.close()
    assert kept.ids() == ["long", "new"]
    assert b'"old"' not in kept.path.read_bytes()


def test_two_gateways_and_a_reader_share_it(tmp_path: Path) -> None:
    stores = [Kept(tmp_path), Kept(tmp_path)]
    lost: list[int] = []

    def work(kept: Kept, name: str) -> None:
        tens = [[record(f"{name}{n}-{k}") for k in range(10)] for n in range(30)]
        lost.extend(kept.write(*ten) for ten in tens)
        kept.store.close()

    stores[0].write()
    reader = sqlite3.connect(stores[0].path)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM requests").fetchone()  # and does not let go
    threads = [threading.Thread(target=work, args=pair) for pair in zip(stores, "ab", strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert reader.execute("SELECT count(*) FROM requests").fetchone() == (0,)
    reader.close()
    assert sum(lost) == 0
    wanted = {f"{name}{n}-{k}" for name in "ab" for n in range(30) for k in range(10)}
    assert set(stores[0].ids()) == wanted
    assert len(stores[0].ids()) == 600


def test_processes_that_begin_together_do_not_disturb_each_other(tmp_path: Path) -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from made_records import record\n"
        "from headrace.gateway.store import RequestStore; from headrace.gateway.control import Store\n"
        "store = RequestStore(Store(path=sys.argv[2]), print)\n"
        "sys.stdin.read(1)\n"
        "for n in range(20): store.write([record()])\n"
        "store.close()"
    )
    here, path = str(Path(__file__).parent), str(tmp_path / "requests.db")
    command = [sys.executable, "-c", code, here, path]
    started = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(3)
    ]
    for one in started:
        assert one.stdin is not None
        one.stdin.write(b"!")
        one.stdin.flush()
    assert [one.communicate()[0] for one in started] == [b"", b"", b""]
    assert len(history.select(tmp_path / "requests.db", Wanted(limit=100))) == 60


@contextlib.contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """The kernel refuses to make any file of this process larger, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_costs_records_and_nothing_else(kept: Kept) -> None:
    assert kept.write(record("before")) == 0
    with file_size_limit(2**17):
        lost = [kept.write(*(record(f"{n}-{k}") for k in range(100))) for n in range(6)]
    assert lost[-1] == 100
    assert kept.write(record("after")) == 0
    ids = kept.ids()
    assert (ids[0], ids[-1]) == ("before", "after")
    assert len(ids) == 602 - sum(lost)
    failed, again = kept.said[::2], kept.said[1::2]  # by turns: closing the file makes some room
    assert all(f"cannot be written to {kept.path}: " in line for line in failed)
    assert sum(int(line.split("; ")[1].split()[0]) for line in again) == sum(lost)


def test_a_folder_that_is_missing_costs_records_until_it_is_there(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "missing")
    assert kept.write(record("a"), record("b")) == 2
    (tmp_path / "missing").mkdir()
    assert kept.write(record("c")) == 0
    assert kept.ids() == ["c"]
    kept.store.close()


def test_a_file_that_is_removed_begins_anew(kept: Kept) -> None:
    kept.write(record("a"))
    for file in kept.path.parent.iterdir():
        file.unlink()
    assert kept.write(record("b")) == 0
    assert kept.ids() == ["b"]


@pytest.mark.parametrize("damage", ["garbage", "page", "truncated"])
def test_a_corrupt_file_is_put_aside_and_said(tmp_path: Path, damage: str) -> None:
    kept = Kept(tmp_path)
    kept.write(*(record(str(n), prompt="x" * 2000) for n in range(300)))
    kept.store.close()
    data = kept.path.read_bytes()
    bad = {
        "garbage": b"not a database" * 1000,
        "page": data[:4096] + b"\xff" * 16384 + data[20480:],
        "truncated": data[:9000],
    }[damage]
    kept.path.write_bytes(bad)
    assert kept.write(record("new")) == 0
    assert kept.ids() == ["new"]
    assert (tmp_path / "requests.db.corrupt").read_bytes()[4096:8192] == bad[4096:8192]
    assert len(kept.said) == 1
    assert "is corrupt" in kept.said[0]
    assert "requests.db.corrupt" in kept.said[0]
    kept.store.close()


def test_two_gateways_put_a_corrupt_file_aside_once(tmp_path: Path) -> None:
    one, two = Kept(tmp_path), Kept(tmp_path)
    one.path.write_bytes(b"not a database" * 1000)
    assert one.write(record("a")) == two.write(record("b")) == 0
    assert (len(one.said), len(two.said)) == (1, 0)
    assert one.ids() == ["a", "b"]
    two.store._inode += 1  # it had opened the file that is aside by now, and stumbles only here
    two.store._put_aside(sqlite3.DatabaseError("malformed"))
    assert (two.said, one.ids()) == ([], ["a", "b"])
    one.store.close()
    two.store.close()


def test_a_file_of_another_version_is_left_alone(kept: Kept) -> None:
    with contextlib.closing(sqlite3.connect(kept.path)) as file:
        file.execute("PRAGMA user_version = 99")
    assert kept.write(record()) == 1
    assert "it is of version 99" in kept.said[0]
    assert not kept.path.with_name("requests.db.corrupt").exists()
    with pytest.raises(history.StoreError, match="version 99"):
        kept.ids()


def test_a_record_that_is_no_text_costs_itself_alone(kept: Kept) -> None:
    assert kept.write(record("a"), record("b", model="\ud800"), record("c")) == 1
    assert kept.ids() == ["a", "c"]


ANY_TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=30)


@settings(max_examples=25, deadline=None)
@given(records=st.lists(st.tuples(ANY_TEXT, ANY_TEXT, ANY_TEXT | st.none()), max_size=20))
def test_any_text_survives(
    tmp_path_factory: pytest.TempPathFactory, records: list[tuple[str, str, str | None]]
) -> None:
    kept = Kept(tmp_path_factory.mktemp("any"))
    given_ = [record(i, model=model, prompt=text) for i, model, text in records]
    assert kept.write(*given_) == 0
    found = sorted(history.select(kept.path, Wanted(limit=100)))
    assert [one.record for one in found] == given_
    kept.store.close()
