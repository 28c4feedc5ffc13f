"""Where the knee is: the fewest clients that come near the best throughput within the promises.

Pure; `baseline_load.py` measures the steps, `baseline.py` says what follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from headrace.experiments.case import Case
from headrace.experiments.measured import Measured, mean_of
from headrace.experiments.predicted import Predicted

SLACK = 0.1
"""Of the best throughput: what less may be given for half as many requests at once."""
FAILED = 0.01
"""Share of failed requests from which a step is no good."""


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """So many clients, measured once; rates are of the time in which all of them were busy.

    `raised` is the max_num_seqs of a copy that takes more at once; None: as the file has it.
    """

    clients: int
    repeat: int
    run: Measured
    raised: int | None = None
    predicted: Predicted | None = None


@dataclass(frozen=True)
class Step:
    """So many clients, with all repeats."""

    clients: int
    runs: tuple[Measured, ...]
    predicted: Predicted | None
    raised: int | None = None

    def mean(self, field: str) -> float | None:
        """Return the mean of a field of `Measured` over the repeats."""
        return mean_of(getattr(run, field) for run in self.runs)

    @property
    def tokens(self) -> float:
        """Output tokens a second."""
        return self.mean("output_tokens") or 0.0

    @property
    def requests(self) -> float:
        """Requests a second."""
        return self.mean("requests") or 0.0

    @property
    def values(self) -> list[float]:
        """Output tokens a second of each repeat."""
        return [run.output_tokens for run in self.runs]

    def keeps(self, case: Case) -> bool:
        """Whether the 95th percentiles kept what is promised, and hardly anything failed."""
        pairs = ((self.mean("ttft_p95"), case.ttft), (self.mean("tpot_p95"), case.tpot))
        slow = any(got is not None and most is not None and got > most for got, most in pairs)
        return not slow and (self.mean("failed_share") or 0.0) <= FAILED and self.tokens > 0


@dataclass(frozen=True)
class Knee:
    """`step` is the knee, `best` the step with most throughput within the promises.

    `bound`: what ends the throughput that can be used: the engine is `full` (more clients add less
    than `SLACK`), the `promise` (more clients break it), or nothing that was measured (`open`).
    """

    step: Step
    best: Step
    bound: str


def steps_of(points: Sequence[Point]) -> list[Step]:
    """Return the steps by their number of clients."""
    counts = sorted({one.clients for one in points})
    some = {count: [one for one in points if one.clients == count] for count in counts}
    return [
        Step(count, tuple(one.run for one in found), found[0].predicted, found[0].raised)
        for count, found in some.items()
    ]


def knee_of(steps: Sequence[Step], case: Case) -> Knee | None:
    """Return the knee; None if no step kept the promises."""
    good = [step for step in steps if step.keeps(case)]
    if not good:
        return None
    best = max(good, key=lambda step: step.tokens)
    knee = next(step for step in good if step.tokens >= (1 - SLACK) * best.tokens)
    return Knee(knee, best, _bound(steps, knee, case))


def _bound(steps: Sequence[Step], knee: Step, case: Case) -> str:
    beyond = [step for step in steps if step.clients > knee.clients]
    if not beyond:
        return "open"
    return "full" if beyond[0].keeps(case) else "promise"
