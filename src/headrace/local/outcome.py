"""What a replica's log and exit status tell: how it ended, in its own words if it left any.

`replica.py` makes outcomes, `replicaset.py` decides what follows from them.
"""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from headrace.engines.base import LocalEngine

_CLASH = ("address already in use", "errno 98")


@dataclass(frozen=True)
class Outcome:
    """`clash` means that another process took the port first, which is nobody's fault.

    `told`: it ended, or answered nothing, as an engine does that somebody else told to stop.
    """

    how: Literal["stopped", "crashed", "wrong", "clash"]
    words: str = ""
    was_ready: bool = False
    told: bool = False


def crashed(engine: LocalEngine, lines: Sequence[str], status: int, *, was_ready: bool) -> Outcome:
    """Return the outcome of a process that ended by itself with this status."""
    clash = not was_ready and any(sign in "\n".join(lines).lower() for sign in _CLASH)
    words = f"{_describe(status)}{_said(engine, lines)}"
    return Outcome("clash" if clash else "crashed", words, was_ready, told=status == 0)


def too_slow(engine: LocalEngine, lines: Sequence[str], phase: str, limit: float) -> Outcome:
    """Return the outcome of a start that took longer than `limit` seconds."""
    words = f"not ready within {limit:g} s (lifecycle.startup), still in phase '{phase}'"
    return Outcome("crashed", words + _said(engine, lines))


def no_health(seconds: float) -> Outcome:
    """Return the outcome of a replica that was ready and has not answered since."""
    return Outcome("crashed", f"no sign of health for {seconds:g} s", was_ready=True)


def kv_tokens(engine: LocalEngine, lines: Sequence[str]) -> int | None:
    """Return what the KV cache holds, in tokens, if the log of a start tells it."""
    told = (engine.kv_tokens(line) for line in reversed(lines))
    return next((tokens for tokens in told if tokens is not None), None)


def _said(engine: LocalEngine, lines: Sequence[str]) -> str:
    words = engine.last_words(lines)
    return f": {words}" if words else ""


def _describe(status: int) -> str:
    if status == -signal.SIGKILL:
        return "killed by SIGKILL, which the system also does when memory runs out"
    if status < 0:
        return f"ended by {signal.Signals(-status).name}"
    return f"exit status {status}"
