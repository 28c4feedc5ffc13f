"""The ledger's file: whole lines, whoever writes, whatever happened before; bounded; it says what it left out."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starts_kit import a_start

from headrace.starts.ledger import kept_path, merge, read, record, running_path


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_CACHE", str(tmp_path / "cache"))


def test_what_is_recorded_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "new" / "starts.jsonl"
    starts = [a_start(n, resident=0.5, fetched=False, restart=True) for n in range(3)]
    for start in reversed(starts):
        record(path, start)
    assert read(path).starts == tuple(starts)
    assert read(path).damage == ()


def test_no_file_is_no_start(tmp_path: Path) -> None:
    assert read(tmp_path / "none.jsonl") == read()


def test_a_start_is_counted_once_wherever_it_is_kept(tmp_path: Path) -> None:
    one, two = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    for path, numbers in ((one, (0, 1)), (two, (1, 2))):
        for number in numbers:
            record(path, a_start(number))
    assert [start.id for start in read(one, two).starts] == ["s0", "s1", "s2"]


def test_a_writer_that_was_cut_off_costs_its_own_line_only(tmp_path: Path) -> None:
    path = tmp_path / "starts.jsonl"
    record(path, a_start(0))
    with path.open("ab") as file:
        file.write(b'{"id":"half')
    record(path, a_start(1))
    found = read(path)
    assert [start.id for start in found.starts] == ["s0", "s1"]
    (said,) = found.damage
    assert said.startswith(f"{path}:2: this line is no start")


def test_a_file_does_not_grow_beyond_its_bound(tmp_path: Path) -> None:
    path = tmp_path / "starts.jsonl"
    for number in range(60):
        record(path, a_start(number, why="x" * 200), limit=4000)
        assert path.stat().st_size <= 4000
    kept = [start.id for start in read(path).starts]
    assert kept == [f"s{n}" for n in range(60 - len(kept), 60)]
    assert len(kept) >= 3


def test_several_writers_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "starts.jsonl"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: record(path, a_start(number)), range(64)))
    assert len(read(path).starts) == 64
    assert read(path).damage == ()


def test_writers_in_other_processes_cut_it_together(tmp_path: Path) -> None:
    path = tmp_path / "starts.jsonl"
    here = Path(__file__).parent
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path;"
        "from starts_kit import a_start; from headrace.starts.ledger import record;"
        "[record(Path(sys.argv[2]), a_start(n), limit=9000) for n in range(*map(int, sys.argv[3:]))]"
    )
    argv = [sys.executable, "-c", code, str(here), str(path)]
    writers = [subprocess.Popen([*argv, str(n * 10), str(n * 10 + 10)]) for n in range(3)]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    found = read(path)
    assert found.damage == ()
    assert path.stat().st_size <= 9000
    assert len({start.id for start in found.starts}) >= 9


def test_merging_adds_what_is_new_in_order(tmp_path: Path) -> None:
    path = tmp_path / "laptop.starts.jsonl"
    assert merge(path, [a_start(3), a_start(1)]) == 2
    assert merge(path, [a_start(1), a_start(2)]) == 1
    assert merge(path, [a_start(2)]) == 0
    assert [start.id for start in read(path).starts] == ["s1", "s2", "s3"]


def test_merging_throws_nobodys_damaged_line_away(tmp_path: Path) -> None:
    path = tmp_path / "laptop.starts.jsonl"
    path.write_text("<<<<<<< HEAD\n")
    with pytest.raises(ValueError, match=r"starts\.jsonl:1: this line is no start.*mend or delete"):
        merge(path, [a_start(0)])
    assert path.read_text() == "<<<<<<< HEAD\n"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300))
def test_rubbish_is_never_a_start_and_never_an_exception(tmp_path: Path, rubbish: bytes) -> None:
    path = tmp_path / "rubbish.jsonl"
    path.write_bytes(rubbish)
    assert read(path).starts == ()


def test_a_file_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    assert read(tmp_path).damage == (f"{tmp_path}: Is a directory",)


def test_where_starts_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_STATE", str(tmp_path / "s"))
    file = tmp_path / "laptop.yaml"
    assert kept_path(file) == tmp_path / "laptop.starts.jsonl"
    assert running_path("laptop", file).parent.parent == tmp_path / "s"
