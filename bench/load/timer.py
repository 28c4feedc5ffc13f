"""How late requests leave with a kernel's timer, and with an event loop's own.

`python -m bench.load.timer` prints both, in milliseconds; nothing else happens in the loop.
"""

from __future__ import annotations

import asyncio
from random import Random
from time import monotonic

import uvloop

from bench.stats import percentile
from headrace.bench.alarm import Alarm

_RINGS, _RATE = 300, 100.0


async def lateness(*, exact: bool) -> list[float]:
    """Return how late an alarm was, sorted, set for Poisson arrivals one by one; seconds."""
    random = Random(1)
    late: list[float] = []
    over = asyncio.Event()
    due = monotonic() + 0.01

    def ring() -> None:
        nonlocal due
        now = monotonic()
        if now < due:  # an event loop's timer may be early
            alarm.set(due)
            return
        late.append(now - due)
        if len(late) == _RINGS:
            over.set()
        due += random.expovariate(_RATE)
        alarm.set(due)

    alarm = Alarm(ring, exact=exact)
    alarm.set(due)
    await over.wait()
    alarm.close()
    return sorted(late)


def row(name: str, late: list[float]) -> str:
    """Return a line of the table."""
    p50, p99 = (percentile(late, percent) * 1000 for percent in (50, 99))
    return f"{name:<24}{p50:>10.3f}{p99:>10.3f}"


async def _main() -> None:
    print(f"{'late, ms':<24}{'p50':>10}{'p99':>10}")
    print(row("the kernel's timer", await lateness(exact=True)))
    print(row("the event loop's timer", await lateness(exact=False)))


if __name__ == "__main__":
    uvloop.run(_main())
