"""A process that sends: `python -m headrace.bench.worker`, orders on its input, news on its output.

It imports little and does nothing else, so that nothing else is measured. Ctrl-C is not for it: the
run that started it says when to stop, and its end does as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import sys

import uvloop

from headrace.bench.frames import LIMIT, Go, Job, Over, Ready, Stop, decode_order, frame, next_frame
from headrace.bench.shift import Shift


class _Closing(asyncio.BaseProtocol):
    """Tells when everything was written."""

    def __init__(self) -> None:
        self.closed = asyncio.Event()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell it."""
        del exc
        self.closed.set()


async def work() -> None:
    """Do one job."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=LIMIT)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    out, closing = await loop.connect_write_pipe(_Closing, sys.stdout)
    job = await _order(reader)
    if not isinstance(job, Job):
        return
    shift = Shift(job, lambda news: out.write(frame(news)))
    await shift.prepare()
    out.write(frame(Ready(job.load.ahead and go_ahead())))
    go = await _order(reader)
    if isinstance(go, Go):
        await _run(shift, go.origin, reader)
    out.write(frame(Over()))
    out.close()
    await closing.closed.wait()


async def _run(shift: Shift, origin: float, reader: asyncio.StreamReader) -> None:
    """Run until all is sent, or the next order: whatever it is, and its absence, means to stop."""
    listening = asyncio.create_task(_order(reader))
    listening.add_done_callback(lambda task: None if task.cancelled() else shift.stop())
    await shift.run(origin)
    listening.cancel()


async def _order(reader: asyncio.StreamReader) -> Job | Go | Stop | None:
    """Return the next order; None at the end of the input."""
    data = await next_frame(reader)
    return None if data is None else decode_order(data)


def go_ahead() -> bool:
    """Have this process run the moment it has something to do; return whether that is allowed.

    On a machine that also serves, the engine's threads keep all cores busy, and a client that has
    to wait for one measures that wait as the server's. It takes no more of the machine than it
    would anyway, only sooner. Root may, and who has a limit for it (`ulimit -r`).
    """
    try:
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    except (OSError, AttributeError):
        return False
    return True


def more_files() -> None:
    """Allow this process as many open connections as the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main() -> None:
    """Work, then end at once: there is nothing to tidy up that the system does not."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    more_files()
    uvloop.run(work())
    os._exit(0)


if __name__ == "__main__":
    main()
