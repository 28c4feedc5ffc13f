"""`headrace up` as a child process, as a user runs it, for the tests against real engines."""

from __future__ import annotations

import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

LAPTOP = Path(__file__).parents[2] / "examples" / "laptop.yaml"
START = 420.0
"""Seconds after which a start has failed; a quiet machine needs about 40."""


@dataclass
class RunningFleet:
    """`headrace up` as a child process, and what it prints."""

    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)
    _queue: queue.Queue[str | None] = field(default_factory=queue.Queue)

    def __post_init__(self) -> None:
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                self._queue.put(line.rstrip())
        self._queue.put(None)

    def wait_for(self, pattern: str, timeout: float = START) -> re.Match[str]:
        """Return the match in the next line that has it; fail with everything printed so far."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                line = self._queue.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                pytest.fail(
                    f"no line with {pattern!r} in {timeout:.0f} s:\n" + "\n".join(self.lines)
                )
            if line is None:
                pytest.fail(f"headrace ended ({self.stop()}):\n" + "\n".join(self.lines))
            self.lines.append(line)
            if found := re.search(pattern, line):
                return found

    def stop(self, timeout: float = START) -> int:
        """Press Ctrl-C and return the exit status; one that outlasts the timeout is killed."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            status = self.process.wait(timeout)
        finally:
            self.process.kill()  # its keepers then end all that it started
        self._reader.join(timeout)
        while not self._queue.empty():
            self.lines.append(self._queue.get() or "")
        return status


@contextmanager
def running_fleet(file: Path, state: Path) -> Iterator[RunningFleet]:
    """Run `headrace up` on a fleet file with a state folder of its own; it ends with the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "headrace", "up", str(file)],
        env={**os.environ, "HEADRACE_STATE": str(state), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    fleet = RunningFleet(process)
    try:
        yield fleet
    finally:
        fleet.stop()


def write_fleet(folder: Path, **changes: str) -> Path:
    """Write the laptop's fleet file with ports of the system's choice and lines replaced."""
    text = LAPTOP.read_text().replace("port: 8080", "port: 0, admin_port: 0")
    for old, new in changes.items():
        pattern = rf"\b{old}: [^\s,}}#]+"
        assert re.search(pattern, text), old
        text = re.sub(pattern, f"{old}: {new}", text, count=1)
    file = folder / "fleet.yaml"
    file.write_text(text)
    lock = LAPTOP.with_suffix(".lock")
    if lock.exists():
        (folder / "fleet.lock").write_bytes(lock.read_bytes())
    return file
