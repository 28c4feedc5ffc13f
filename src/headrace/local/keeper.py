"""Stands between Headrace and one engine, so that nothing of the engine outlives Headrace.

A script of its own (`python -I -S keeper.py`, standard library only, started by `kept.py`): it must
start in milliseconds and must not die with the supervisor. It adopts whatever the engine's
processes leave behind (Linux: child subreaper) and ends when the last of them is reaped. Standard
input is a socket to the supervisor:

* first line in: `{"argv": [...], "env": {...}, "log": path, "grace": seconds}`;
* then `term` (SIGTERM to the engine, SIGKILL to all that is left after the grace) or `kill` (now);
* end of file, because the supervisor ended by whatever means, counts as `term`;
* lines out: `{"pid": n}` or `{"failed": text}`, later `{"exit": status}`; the socket closes when
  all is gone.

Should the keeper itself be killed, the kernel kills the engine's first process (PDEATHSIG);
`strays.py` finds the rest.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import math
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_LINGER = 2.0
"""Seconds that the engine's helpers get to end by themselves once its first process has."""
_PACE = 0.05
"""Seconds between two rounds of SIGKILL; a process can fork while it is being killed."""


def main() -> int:
    """Start the engine named on the socket and stay until it and all its descendants are gone."""
    link = socket.socket(fileno=0)
    reader = link.makefile("rb")
    try:
        spec = json.loads(reader.readline())
    except ValueError:
        return 2
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    wake = _signals()
    try:
        engine = _start(spec, libc)
    except OSError as error:
        _tell(link, failed=f"{spec['argv'][0]}: {error.strerror}")
        return 1
    _tell(link, pid=engine.pid)
    _Watch(link, wake, engine, float(spec["grace"])).run()
    return 0


def _signals() -> int:
    """Route signals to a file descriptor; Ctrl-C and hang-up are the supervisor's business."""
    read_end, write_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.set_wakeup_fd(write_end)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _nothing)  # a handler, not SIG_IGN, which the engine would inherit
    return read_end


def _nothing(_number: int, _frame: object) -> None:
    """Let the wake-up descriptor carry the news."""


def _start(spec: dict[str, Any], libc: ctypes.CDLL) -> subprocess.Popen[bytes]:
    keeper = os.getpid()

    def die_with_keeper() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != keeper:
            os._exit(1)

    with Path(spec["log"]).open("ab") as log:
        return subprocess.Popen(
            spec["argv"],
            env=spec["env"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=die_with_keeper,  # noqa: PLW1509 - one thread only: it cannot deadlock
        )


def _tell(link: socket.socket, **news: object) -> None:
    with contextlib.suppress(OSError):  # nobody listens any more: the work goes on all the same
        link.sendall(json.dumps(news).encode() + b"\n")


class _Watch:
    """Waits for deaths, commands and the deadline, whichever comes first."""

    def __init__(
        self, link: socket.socket, wake: int, engine: subprocess.Popen[bytes], grace: float
    ) -> None:
        self.link, self.wake, self.engine, self.grace = link, wake, engine, grace
        self.deadline = math.inf
        self.listening = True
        self.asked = False

    def run(self) -> None:
        while self._reap():
            if time.monotonic() >= self.deadline:
                _kill_descendants()
            self._listen()

    def _reap(self) -> bool:
        """Collect the dead; return False when no child is left, own or adopted."""
        try:
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return True
                if pid == self.engine.pid:
                    self._engine_ended(os.waitstatus_to_exitcode(status))
        except ChildProcessError:
            return False

    def _engine_ended(self, status: int) -> None:
        self.engine.returncode = status
        _tell(self.link, exit=status)
        self._end_within(_LINGER)

    def _listen(self) -> None:
        sources: list[Any] = [self.wake, *([self.link] if self.listening else [])]
        left = self.deadline - time.monotonic()
        wait = None if math.isinf(left) else max(left, _PACE)
        ready, _, _ = select.select(sources, [], [], wait)
        if self.wake in ready and signal.SIGTERM in os.read(self.wake, 512):
            self._terminate()
        if self.link in ready:
            self._command(self._hear())

    def _hear(self) -> bytes:
        try:
            return self.link.recv(512)
        except ConnectionResetError:
            return b""

    def _command(self, data: bytes) -> None:
        if not data:
            self.listening = False
        if b"kill" in data:
            self._end_within(0)
        else:
            self._terminate()

    def _terminate(self) -> None:
        if self.engine.returncode is None and not self.asked:  # a second SIGTERM would cut a drain
            self.asked = True
            os.kill(self.engine.pid, signal.SIGTERM)
        self._end_within(self.grace)

    def _end_within(self, seconds: float) -> None:
        self.deadline = min(self.deadline, time.monotonic() + seconds)


def _kill_descendants() -> None:
    for pid in _descendants(os.getpid()):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _descendants(root: int) -> Iterator[int]:
    children: dict[int, list[int]] = {}
    for pid, parent in _parents():
        children.setdefault(parent, []).append(pid)
    waiting = [root]
    while waiting:
        found = children.get(waiting.pop(), [])
        waiting.extend(found)
        yield from found


def _parents() -> Iterator[tuple[int, int]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it ended while we looked
                stat = (entry / "stat").read_text(errors="replace")
                yield int(entry.name), int(stat.rpartition(")")[2].split()[1])


if __name__ == "__main__":
    sys.exit(main())
