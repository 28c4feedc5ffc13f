"""Clocks and processes for tests of the ledger."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from headrace.ledger.ledger import Grant, Ledger
from headrace.routing.allowance import Excess, Subject
from headrace.routing.route import Limits

START = 1_800_000_000.0
PROGRAM = Path(__file__).with_name("ledger_process.py")


@dataclass
class Clock:
    now: float = START

    def __call__(self) -> float:
        return self.now


def subject(name: str = "key a", **limits: int | bool) -> Subject:
    return Subject(name, Limits(**limits), name)  # type: ignore[arg-type]  # a test's own words


def granted(found: Grant | Excess) -> Grant:
    assert isinstance(found, Grant), found
    return found


def refused(found: Grant | Excess) -> Excess:
    assert isinstance(found, Excess)
    return found


def admitted(ledger: Ledger, *subjects: Subject, times: int, prompt: int = 0) -> int:
    """How many of so many requests are let in."""
    found = [ledger.admit(subjects, prompt, None) for _ in range(times)]
    return sum(isinstance(one, Grant) for one in found)


def start(*arguments: object) -> subprocess.Popen[str]:
    """Start a process that uses the ledger as `ledger_process.py` says."""
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
