"""Reads a run that `headrace calibrate` learns from: one JSON object a line, one line a request.

Either the records of a fleet (`headrace requests --json`), whose waits in front of the engine are
taken off, or the fields of LLMServingSim's recordings (`capacity/measured_run.py` lists them).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from headrace.capacity.measured_run import read_run
from headrace.capacity.served import Served
from headrace.planning.errors import PlanError

MOST_BYTES = 64 * 2**20
FEWEST = 20
"""Requests; fewer say nothing about percentiles."""


def load_run(file: Path) -> Served:
    """Return the run of a file; PlanError names the line that cannot be read."""
    rows = list(_lines(file))
    try:
        run = read_run([row for _, row in rows], str(file), [number for number, _ in rows])
    except ValueError as error:
        raise PlanError(str(error)) from error
    if run.traffic.count < FEWEST:
        raise PlanError(f"{file}: {run.traffic.count} requests; record at least {FEWEST}")
    return run


def _lines(file: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield the line and the fields of each request that was answered."""
    for number, text in enumerate(_text(file).split("\n"), 1):
        if not text.strip():
            continue
        try:
            line = msgspec.json.decode(text, type=dict[str, Any])
        except msgspec.MsgspecError as error:
            raise PlanError(f"{file}:{number}: not a JSON object: {error}") from error
        if "duration_s" not in line:
            yield number, line
        elif line.get("outcome") == "ok" and line.get("ttft_s") is not None:
            yield number, _record(line, file, number)


def _text(file: Path) -> str:
    try:
        if file.stat().st_size > MOST_BYTES:
            raise PlanError(f"{file}: larger than {MOST_BYTES >> 20} MiB; some hundred requests do")
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PlanError(f"{file}: {error}") from error


def _record(line: Mapping[str, Any], file: Path, number: int) -> dict[str, Any]:
    """Return a fleet's record as the engine saw it: from when a replica got it."""
    try:
        began = datetime.fromisoformat(line["time"]).timestamp()
        waited = line.get("held_s", 0.0) + line.get("queued_s", 0.0)
        return {
            "arrival_time": began + waited,
            "input_toks": line["prompt_tokens"],
            "output_toks": line["completion_tokens"],
            "first_token_ts": began + line["ttft_s"],
            "last_token_ts": began + line["duration_s"],
        }
    except (KeyError, TypeError, ValueError) as error:
        raise PlanError(
            f"{file}:{number}: not a record of `headrace requests --json`: {error}"
        ) from error
