"""`headrace up` on a fleet file with this text, for as long as a block lasts.

`diagnosis/stage.py` has its own: it serves several fleets side by side in one event loop.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from headrace.fleet.load import load_fleet
from headrace.local.state import StateDir, state_dir

_READY = re.compile(r"^ready: (\S+)", re.MULTILINE)
_STOP_PATIENCE = 120.0
"""Seconds between asking a fleet to end and killing it."""


@dataclass(frozen=True)
class Fleet:
    """A fleet that serves: its file and state, its address, its supervisor's process."""

    file: Path
    state: StateDir
    address: str
    pid: int


@contextmanager
def up(text: str, folder: Path, patience: float) -> Iterator[Fleet]:
    """Serve it, its files in `folder`; RuntimeError if it does not within `patience` seconds."""
    file, root, log = folder / "fleet.yaml", folder / "s", folder / "up.log"
    file.write_text(text, encoding="utf-8")
    with log.open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "headrace", "up", str(file)],
            env={**os.environ, "HEADRACE_STATE": str(root)},
            stdout=said,
            stderr=said,
            cwd=folder,
            start_new_session=True,
        )
    try:
        address = _address(process, log, time.monotonic() + patience)
        state = state_dir(load_fleet(file).fleet.fleet, file, root)
        yield Fleet(file, state, address, process.pid)
    finally:
        process.terminate()
        try:
            process.wait(_STOP_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _address(process: subprocess.Popen[bytes], log: Path, deadline: float) -> str:
    while time.monotonic() < deadline and process.poll() is None:
        if found := _READY.search(log.read_text(encoding="utf-8", errors="replace")):
            return found[1]
        time.sleep(0.1)
    raise RuntimeError(f"the fleet does not serve:\n{log.read_text(errors='replace')[-2000:]}")
