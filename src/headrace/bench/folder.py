"""A run's folder: written while the run lasts, read for reports, comparisons and diagnosis.

`run.json` is there from the beginning, as of an interrupted run, and replaced at the end; answers
and samples are appended as they come. So whatever ends a run leaves what there was. `summary.json`
and `report.html` are made of these three and can be made again.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TypeVar

import msgspec

from headrace.bench.answers import Answer
from headrace.bench.run import About, Run
from headrace.bench.samples import Sample
from headrace.models.lock import replace_file

ABOUT, ANSWERS, SAMPLES = "run.json", "requests.jsonl", "metrics.jsonl"
SUMMARY, REPORT = "summary.json", "report.html"
_RESULTS = "bench-results"
_LONGEST_LINE = 1 << 24
_T = TypeVar("_T", Answer, Sample)
_encode = msgspec.json.Encoder().encode


class FolderError(Exception):
    """A run's folder cannot be written or read; the message says where, and what to do."""


def default_folder(beside: Path, name: str, at: float | None = None) -> Path:
    """Return where a run goes if nobody says: `bench-results/<UTC time>-<name>` in a folder."""
    when = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(at))
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[:60] or "run"
    return beside / _RESULTS / f"{when}-{safe}"


def fresh_folder(beside: Path, name: str) -> Path:
    """Make the folder where a run goes if nobody says; runs that begin in one second get one each.

    FolderError if it cannot be made.
    """
    wanted = folder = default_folder(beside, name)
    number = 1
    while True:
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            number += 1
            folder = wanted.with_name(f"{wanted.name}-{number}")
        except OSError as error:
            raise FolderError(f"{folder} cannot be written: {error.strerror}") from error
        else:
            return folder


def check_free(folder: Path) -> None:
    """Raise FolderError if there is a run in it already: none is written over."""
    if (folder / ABOUT).exists():
        raise FolderError(f"{folder} holds a run already; give another folder, or move it")


class Writer:
    """Writes one run; a `measure.Keep`."""

    def __init__(self, folder: Path, about: About) -> None:
        """Make the folder; FolderError if there is a run in it, or it cannot be made."""
        self.folder = folder
        self._encode_lines = msgspec.json.Encoder().encode_lines
        try:
            folder.mkdir(parents=True, exist_ok=True)
            check_free(folder)
            replace_file(folder / ABOUT, _pretty(msgspec.structs.replace(about, interrupted=True)))
            self._answers: IO[bytes] = (folder / ANSWERS).open("wb")
            self._samples: IO[bytes] = (folder / SAMPLES).open("wb")
        except OSError as error:
            raise FolderError(f"{folder} cannot be written: {error.strerror}") from error

    def answers(self, answers: Sequence[Answer]) -> None:
        """Append answers; OSError where the disk does not take them."""
        self._append(self._answers, answers)

    def samples(self, samples: Sequence[Sample]) -> None:
        """Append samples; OSError where the disk does not take them."""
        self._append(self._samples, samples)

    def end(self, run: Run) -> None:
        """Put the lines in the order of the run, with its last word; FolderError if it cannot."""
        self.close()
        try:
            write(self.folder, run)
        except OSError as error:
            raise FolderError(f"{self.folder} is not whole: {error.strerror}") from error

    def close(self) -> None:
        """Close the files; what they hold stays."""
        for file in (self._answers, self._samples):
            with contextlib.suppress(OSError):
                file.close()

    def _append(self, file: IO[bytes], lines: Sequence[Answer] | Sequence[Sample]) -> None:
        file.write(self._encode_lines(lines))
        file.flush()


def write(folder: Path, run: Run) -> None:
    """Write a whole run, each file at once; OSError where the disk does not take it."""
    lines = msgspec.json.Encoder().encode_lines
    replace_file(folder / ANSWERS, lines(run.answers))
    replace_file(folder / SAMPLES, lines(run.samples))
    replace_file(folder / ABOUT, _pretty(run.about))


def read(folder: Path, damage: list[str] | None = None) -> Run:
    """Return the run in a folder.

    Lines that are damaged are left out and added to `damage`, each with its file and number.
    FolderError if it holds no run.
    """
    found: list[str] = [] if damage is None else damage
    about = _read_about(folder / ABOUT)
    answers = _lines(folder / ANSWERS, Answer, found)
    samples = _lines(folder / SAMPLES, Sample, found)
    answers.sort(key=lambda answer: answer.number)
    return Run(about, answers, samples)


def _read_about(path: Path) -> About:
    try:
        return msgspec.json.decode(path.read_bytes(), type=About)
    except OSError as error:
        raise FolderError(
            f"{path.parent} holds no run: {path.name}: {error.strerror}; give a folder that "
            "`headrace bench` wrote"
        ) from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise FolderError(f"{path} is damaged: {error}") from error


def _lines(path: Path, kind: type[_T], damage: list[str]) -> list[_T]:
    decode = msgspec.json.Decoder(kind).decode
    found: list[_T] = []
    try:
        with path.open("rb") as file:
            for number, line in enumerate(iter(lambda: file.readline(_LONGEST_LINE), b""), 1):
                try:
                    found.append(decode(line))
                except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                    damage.append(f"{path}:{number}: {error}")
    except OSError as error:
        damage.append(f"{path}: {error.strerror}")
    return found


def _pretty(about: About) -> bytes:
    return msgspec.json.format(_encode(about), indent=2) + b"\n"
