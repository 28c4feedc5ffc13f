"""A timer that rings on time: an event loop's own timers count in milliseconds.

A request that leaves half a millisecond late on average would be our error in every TTFT. So where
the system has timerfd (Linux) the kernel wakes the loop at the very instant, and elsewhere the
loop's own timer must do. `bench/load` in the repository measures both.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import errno
import os
from collections.abc import Callable
from time import monotonic

_CLOCK_MONOTONIC, _ABSOLUTE = 1, 1
_NEVER_INSTANT = 1e-9
"""A time of zero would mean: do not ring."""


class _Spec(ctypes.Structure):
    """The system's `struct itimerspec`: the interval, unused here, and the time."""

    _fields_ = (
        ("every_s", ctypes.c_long),
        ("every_ns", ctypes.c_long),
        ("at_s", ctypes.c_long),
        ("at_ns", ctypes.c_long),
    )


class Alarm:
    """Calls `ring` once, at or just after the time (of `time.monotonic`) that was last set."""

    def __init__(self, ring: Callable[[], None], *, exact: bool = True) -> None:
        self._ring = ring
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._libc, self._fd = _timer() if exact else (None, -1)
        if self._fd >= 0:
            self._loop.add_reader(self._fd, self._rung)

    def set(self, at: float) -> None:
        """Ring at that time, at once if it is past, instead of when it was set to before."""
        if self._libc is None:
            self._set_timer(at)
            return
        at = max(at, _NEVER_INSTANT)
        seconds = int(at)
        spec = _Spec(0, 0, seconds, int((at - seconds) * 1e9))
        self._libc.timerfd_settime(self._fd, _ABSOLUTE, ctypes.byref(spec), None)

    def close(self) -> None:
        """Ring no more."""
        if self._timer is not None:
            self._timer.cancel()
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1

    def _set_timer(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(max(at - monotonic(), 0.0), self._ring)

    def _rung(self) -> None:
        with contextlib.suppress(BlockingIOError):  # it was set anew since
            os.read(self._fd, 8)
            self._ring()


def _timer() -> tuple[ctypes.CDLL | None, int]:
    """Return the C library and a timer of the kernel; (None, -1) where there is none."""
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "timerfd_create"):
        return None, -1
    fd = libc.timerfd_create(_CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
    if fd < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"no timer: {os.strerror(code or errno.EINVAL)}")
    return libc, fd
