"""`python -m bench.fuzz`: hostile inputs against a real gateway process; exit 1 on a violation."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import uvloop

from bench.fuzz.run import Outcome, run

_SHOWN = 20


def say(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)


def table(outcome: Outcome) -> str:
    """Return the figures as Markdown."""
    tally, samples = outcome.tally, outcome.samples
    rows: list[tuple[str, object]] = [
        ("inputs", f"{tally.inputs.total()} in {outcome.seconds:.0f} s"),
        ("by kind", _counts(tally.inputs)),
        ("reached the engine", outcome.engine_requests),
        ("replies by status", _counts(tally.statuses)),
        ("errors by code", _counts(tally.codes)),
        ("connections without a reply", tally.silent),
        ("memory, MiB (first, most, last)", _range([s.memory >> 20 for s in samples])),
        ("descriptors (first, most, last)", _range([s.descriptors for s in samples])),
        ("tasks (first, most, last)", _range([s.tasks for s in samples])),
        ("violations", len(outcome.violations)),
    ]
    lines = ["| what | found |", "| --- | --- |"]
    return "\n".join([*lines, *(f"| {name} | {value} |" for name, value in rows)])


def _counts(found: dict[str, int] | dict[int, int]) -> str:
    ordered = sorted(found.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {count}" for name, count in ordered)


def _range(values: Sequence[int]) -> str:
    return f"{values[0]}, {max(values)}, {values[-1]}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; return 0, or 1 if anything was violated."""
    parser = argparse.ArgumentParser(prog="python -m bench.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000, metavar="N")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="same seed, same inputs")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="headrace-fuzz-") as folder:
        outcome = uvloop.run(run(options.inputs, options.seed, Path(folder), say))
    for violation in outcome.violations[:_SHOWN]:
        say(f"VIOLATION {violation}")
    say(f"\n{table(outcome)}")
    return int(bool(outcome.violations))


if __name__ == "__main__":
    sys.exit(main())
