"""Signals to a fleet's engines, and to nothing else.

A pid is only a number that the system gives to others later. So before each signal the process is
looked up anew: it must descend from the fleet's supervisor and be younger than it.
"""

from __future__ import annotations

import signal

import psutil

from headrace.local.errors import LocalError

_SLACK = 1.0
"""Seconds; two processes' start times are rounded apart."""


def engine(pid: int, supervisor: int) -> psutil.Process:
    """Return the engine's process; LocalError if `pid` is no descendant of the supervisor."""
    try:
        process, above = psutil.Process(pid), psutil.Process(supervisor)
        ours = supervisor in {one.pid for one in process.parents()}
        if ours and process.create_time() >= above.create_time() - _SLACK:
            return process
    except psutil.NoSuchProcess as error:
        raise LocalError(f"process {error.pid} is gone already") from error
    raise LocalError(f"process {pid} is no replica of the fleet of process {supervisor}")


def worker(process: psutil.Process) -> psutil.Process:
    """Return the process of a vLLM replica that computes; LocalError if it has none."""
    below = process.children(recursive=True)
    for child in below:
        if child.name().startswith("VLLM::Engine"):
            return child
    pythons = [child for child in below if "python" in child.name().lower()]
    if not pythons:
        raise LocalError(f"process {process.pid} has no engine worker; use another kind of drill")
    return max(pythons, key=lambda child: len(child.parents()))


def send(process: psutil.Process, number: signal.Signals) -> bool:
    """Send a signal; False if the process is gone. psutil compares start times first."""
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return False
    return True
