"""A run of `headrace bench` while it lasts: progress, and what Ctrl-C does.

The first Ctrl-C (or SIGTERM) ends the run with what it has, the second ends everything at once.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Sequence
from time import monotonic
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.text import Text

from headrace.bench.load import Load, Progress

if TYPE_CHECKING:
    from headrace.bench.asks import Ask
    from headrace.bench.measure import Keep
    from headrace.bench.run import Run
    from headrace.bench.scrape import Listing
    from headrace.bench.target import Target

INTERRUPTED = 130
_EVERY = 5.0
"""Seconds between two lines where nothing can be redrawn."""
_LATE = 0.005
"""Seconds of lateness from which it is shown as a fault."""


class Display:
    """Shows progress: one line that changes on a terminal, a line now and then elsewhere."""

    def __init__(self, console: Console, total: int | None) -> None:
        self._console, self._total = console, total
        self._live = Live(console=console, transient=True, refresh_per_second=4)
        self._due = monotonic() + _EVERY

    def __enter__(self) -> Callable[[Progress], None]:
        """Begin; what is returned shows one progress."""
        if self._console.is_terminal:
            self._live.start()
        return self._show

    def __exit__(self, *_: object) -> None:
        """Give the terminal back."""
        self._live.stop()

    def _show(self, now: Progress) -> None:
        if self._console.is_terminal:
            late = now.lag > _LATE or now.trouble
            self._live.update(Text(line(now, self._total), style="yellow" if late else ""))
        elif monotonic() > self._due:
            self._due = monotonic() + _EVERY
            self._console.print(line(now, self._total), highlight=False, soft_wrap=True)


def line(now: Progress, total: int | None) -> str:
    """Return progress as one line; `total` is how many are to be sent, None if time decides."""
    of = "" if total is None else f"/{total}"
    failed = f", {now.failed} failed" if now.failed else ""
    trouble = f"  {now.trouble}" if now.trouble else ""
    return (
        f"{now.seconds:4.0f} s  {now.sent}{of} sent, {now.running} in flight, "
        f"{now.ended} ended{failed}  {now.rate:.1f} req/s  {now.tokens:.0f} tok/s  "
        f"lag {now.lag * 1000:.1f} ms{trouble}"
    )


def run(  # noqa: PLR0917 - what one run is made of
    target: Target,
    asks: Sequence[Ask],
    load: Load,
    keep: Keep,
    console: Console,
    listing: Listing | None,
) -> Run:
    """Measure, show it, and return the run, an interrupted one as far as it came."""
    import uvloop  # noqa: PLC0415 - the other verbs start faster

    from headrace.bench.measure import measure  # noqa: PLC0415 - as above

    async def measured() -> Run:
        stop = asyncio.Event()
        with Display(console, _total(asks, load)) as tell:
            listen(stop, console)
            return await measure(target, asks, load, tell, stop=stop, keep=keep, listing=listing)

    return uvloop.run(measured())


def _total(asks: Sequence[Ask], load: Load) -> int | None:
    """Return how many are to be sent; None for a closed loop that a time ends."""
    return None if load.concurrency and load.seconds else len(asks)


def listen(stop: asyncio.Event, console: Console) -> None:
    """Have Ctrl-C set `stop`, and a second one end this process."""

    def heard() -> None:
        if stop.is_set():
            console.show_cursor()
            sys.stderr.write("headrace: ended at once\n")
            os._exit(INTERRUPTED)  # the senders end with this process
        console.print("ending: what is in flight is given up; again to end at once", style="dim")
        stop.set()

    for signum in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(signum, heard)
