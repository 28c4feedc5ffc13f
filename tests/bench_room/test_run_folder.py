"""A run's folder: what ends a run, what damages a line, and what is read again."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from headrace.bench.answers import Answer, Failure
from headrace.bench.folder import FolderError, Writer, default_folder, fresh_folder, read
from headrace.bench.run import About, Run
from headrace.bench.samples import Sample

ABOUT = About(name="n", address="http://h/v1", model="m", began="2026-01-01T00:00:00Z", seconds=2.0)
FIRST = Answer(
    number=0, due=0.0, sent=0.0, ended=1.0, first=0.5, last=1.0, gaps=[0.5], output_tokens=2
)
SECOND = Answer(number=1, due=0.5, sent=0.5, ended=0.9, failure=Failure.RESET, detail="x")
SAMPLE = Sample(at=0.0, source="client", values={"cpu": 0.1})


def test_what_is_written_is_read(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "a", ABOUT)
    writer.answers([SECOND])
    writer.answers([FIRST])
    writer.samples([SAMPLE])
    writer.end(run := Run(ABOUT, [FIRST, SECOND], [SAMPLE]))
    assert read(tmp_path / "a") == run


def test_a_run_that_was_killed_leaves_what_came_and_says_so(tmp_path: Path) -> None:
    writer = Writer(tmp_path, ABOUT)
    writer.answers([SECOND, FIRST])
    writer.samples([SAMPLE])
    found = read(tmp_path)  # nobody closed or ended it
    assert found.answers == [FIRST, SECOND]
    assert found.samples == [SAMPLE]
    assert found.about.interrupted
    writer.close()


def test_damaged_lines_are_told_by_file_and_line_and_left_out(tmp_path: Path) -> None:
    Writer(tmp_path, ABOUT).end(Run(ABOUT, [FIRST, SECOND], [SAMPLE]))
    lines = (tmp_path / "requests.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "requests.jsonl").write_bytes(
        b"{\n" + lines[0] + b'{"number": "one"}\n' + lines[1][:20]
    )
    damage: list[str] = []
    assert read(tmp_path, damage).answers == [FIRST]
    assert [line.split(" ")[0] for line in damage] == [
        f"{tmp_path}/requests.jsonl:{number}:" for number in (1, 3, 4)
    ]


def test_a_folder_without_a_run_and_one_with_a_broken_one(tmp_path: Path) -> None:
    with pytest.raises(FolderError, match=r"holds no run: run\.json: No such file"):
        read(tmp_path)
    (tmp_path / "run.json").write_text('{"name": 3}')
    with pytest.raises(FolderError, match=r"run\.json is damaged"):
        read(tmp_path)


def test_no_run_is_written_over(tmp_path: Path) -> None:
    Writer(tmp_path, ABOUT).close()
    with pytest.raises(FolderError, match="holds a run already"):
        Writer(tmp_path, ABOUT)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FolderError, match="cannot be written: Not a directory"):
        Writer(tmp_path / "file" / "run", ABOUT)


def test_runs_that_begin_in_one_second_have_a_folder_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    epoch = time.gmtime(0)
    monkeypatch.setattr(time, "gmtime", lambda _: epoch)
    made = [fresh_folder(tmp_path, "m").name for _ in range(3)]
    assert made == [f"19700101T000000Z-m{end}" for end in ("", "-2", "-3")]
    (tmp_path / "file").write_text("")
    with pytest.raises(FolderError, match="cannot be written: Not a directory"):
        fresh_folder(tmp_path / "file", "m")


def test_the_default_name_is_the_time_and_a_name_that_any_disk_takes(tmp_path: Path) -> None:
    folder = default_folder(tmp_path, "../my fleet/m:1 ü", at=0.0)
    assert folder == tmp_path / "bench-results" / "19700101T000000Z-my-fleet-m-1"
