"""What the load generator's own process suffers: its share of a core, its event loop's lateness.

A client that is late measures itself. So each process that sends has a timer that rings often, and
the worst that it was late is in the samples beside the engine's.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic, process_time

from headrace.bench.alarm import Alarm
from headrace.bench.samples import Sample

SOURCE = "client"
_BEAT = 0.02


class Pulse:
    """Beats until closed and gives `tell` a sample every so many seconds."""

    def __init__(
        self, origin: float, every: float, worker: int, tell: Callable[[Sample], None]
    ) -> None:
        self._origin, self._every, self._worker, self._tell = origin, every, worker, tell
        self._began = monotonic()
        self._cpu = process_time()
        self._lag = 0.0
        self._due = self._began + _BEAT
        self._alarm = Alarm(self._beat)
        self._alarm.set(self._due)

    def close(self) -> None:
        """Give the last sample."""
        self._alarm.close()
        self._sample(monotonic())

    def _beat(self) -> None:
        now = monotonic()
        self._lag = max(self._lag, now - self._due)
        if now - self._began >= self._every:
            self._sample(now)
        self._due = now + _BEAT
        self._alarm.set(self._due)

    def _sample(self, now: float) -> None:
        cpu = process_time()
        share = (cpu - self._cpu) / max(now - self._began, _BEAT)
        values = {"cpu": share, "lag": self._lag, "worker": float(self._worker)}
        self._tell(Sample(at=now - self._origin, source=SOURCE, values=values))
        self._began, self._cpu, self._lag = now, cpu, 0.0
