"""Finds what a killed keeper or a killed Headrace may have left, by a mark in the environment.

Every engine gets the mark, and its children inherit it. `state.py` looks before a fleet starts;
`replica.py` after a keeper was killed.
"""

from __future__ import annotations

import contextlib

import psutil

MARK = "HEADRACE_KEPT"
"""The variable; its value is the fleet's state folder, a colon and the replica's id."""

_LONGEST = 5.0


def mark(folder: str, replica: str) -> dict[str, str]:
    """Return the environment entry that marks a replica's processes."""
    return {MARK: f"{folder}:{replica}"}


def find(folder: str, replica: str = "") -> list[psutil.Process]:
    """Return living processes of one replica, or of all replicas of a fleet."""
    wanted = f"{folder}:{replica}"
    return [process for process in psutil.process_iter() if _marked(process, wanted, bool(replica))]


def kill(found: list[psutil.Process]) -> None:
    """Kill the processes; ones that ended meanwhile are fine."""
    for process in found:
        with contextlib.suppress(psutil.Error):
            process.kill()


def end(found: list[psutil.Process]) -> None:
    """Kill the processes and wait until they are gone, for a few seconds at most."""
    kill(found)
    psutil.wait_procs(found, timeout=_LONGEST)


def _marked(process: psutil.Process, wanted: str, whole: bool) -> bool:
    try:
        value = process.environ().get(MARK, "")
    except (psutil.Error, OSError):
        return False  # not ours to see, or gone
    return value == wanted if whole else value.startswith(wanted)
