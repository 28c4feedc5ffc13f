"""When each request of some traffic was started, spoke first and ended; what users feel of it.

`batching.py` and `static_batching.py` compute one, `measured_run.py` reads one from a real engine,
and `calibration.py` compares the two by the same twelve figures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headrace.traffic.traffic import Seconds, Traffic

FIGURES = tuple(
    f"{name} {figure}"
    for name in ("TTFT", "TPOT", "E2E")
    for figure in ("mean", "p50", "p90", "p99")
)
"""Names of `Served.figures`, in its order."""


@dataclass(frozen=True)
class Served:
    """Seconds on the clock of `traffic.arrivals`; NaN where a request was refused.

    `started` is when the engine first worked on a request, `first` and `last` when the first and
    the last token were there. `preempted` counts how often a request lost its KV blocks.
    """

    traffic: Traffic
    started: Seconds
    first: Seconds
    last: Seconds
    preempted: int = 0

    @property
    def answered(self) -> npt.NDArray[np.bool_]:
        """Which requests were not refused."""
        return np.isfinite(self.last)

    @property
    def ttft(self) -> Seconds:
        """Time to first token of those answered."""
        return (self.first - self.traffic.arrivals)[self.answered]

    @property
    def e2e(self) -> Seconds:
        """Time to last token of those answered."""
        return (self.last - self.traffic.arrivals)[self.answered]

    @property
    def tpot(self) -> Seconds:
        """Time per output token after the first, of answers with more than one (vllm bench)."""
        several = self.answered & (self.traffic.outputs > 1)
        return (self.last - self.first)[several] / (self.traffic.outputs[several] - 1)

    @property
    def throughput(self) -> float:
        """Output tokens a second, from the first arrival to the last token."""
        seconds = float(np.nanmax(self.last) - self.traffic.arrivals[0])
        return float(self.traffic.outputs[self.answered].sum()) / seconds

    def figures(self) -> npt.NDArray[np.float64]:
        """Return the twelve `FIGURES` in seconds; TPOT's are NaN where no answer had two tokens."""
        return np.concatenate([_figures(times) for times in (self.ttft, self.tpot, self.e2e)])


def _figures(times: Seconds) -> npt.NDArray[np.float64]:
    if not len(times):
        return np.full(4, np.nan)
    return np.array([times.mean(), *np.percentile(times, (50, 90, 99))])
