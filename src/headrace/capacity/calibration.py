"""Fits an `Efficiency` to a measured run, and says how far off its predictions are.

The run's own requests are served again by `batching.py`, and the twelve figures (mean, p50, p90,
p99 of TTFT, TPOT and E2E) are compared; the error is the mean of their absolute relative errors.
Logarithms of the parameters are fitted to logarithms of the figures (Levenberg and Marquardt), with
a pull towards usual values: what a run does not tell apart, such as reading and overhead where all
steps are alike, stays usual. The error on the run that was fitted says little about
another one: `compare` is for runs not fitted on, too.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from headrace.capacity.batching import serve
from headrace.capacity.efficiency import UNCALIBRATED, Efficiency
from headrace.capacity.kv_pool import Pool
from headrace.capacity.served import FIGURES, Served
from headrace.capacity.setup import Setup

Values = npt.NDArray[np.float64]

NAMES = ("bandwidth", "compute", "overhead", "per_sequence", "link")
USUAL = tuple(getattr(UNCALIBRATED, name) for name in NAMES)
SPREAD = (0.1, 0.25, 0.9, 0.9, 0.5)
"""How far these are from usual in logarithms (a standard deviation): kernels read matrices at 85 to
95 % of a data sheet's bandwidth and compute at 60 to 100 %; the engine's own time depends on its
CPU and on its version."""
SPREAD_OF_CPU = (0.7, 0.7, 0.9, 0.9, 0.5)
"""A CPU's bandwidth and compute are measured with numpy, and an engine's kernels differ more."""
FIGURE_SPREAD = 0.03
"""How far the figures of a run are from any roofline: shapes of kernels, noise."""
LEAST = (0.02, 0.02, 1e-6, 1e-7, 0.02)
MOST = (1.0, 1.0, 0.5, 0.01, 1.0)
MOST_OF_CPU = (50.0, 50.0, 0.5, 0.01, 1.0)
STARTS = ((1, 1, 1, 1, 1), (0.4, 0.4, 4, 1, 1))
"""Factors on the usual values from which the search begins."""
STIR = 0.05
"""Relative change over which slopes are taken: a smaller one sees single requests move."""
ROUNDS = 20
STUBBORN = 1e4
"""Damping at which no step has helped, so that the search ends."""
LONGEST = 0.7
"""Of a step, in logarithms."""


@dataclass(frozen=True)
class Comparison:
    """Twelve `FIGURES`, predicted and measured, in seconds."""

    predicted: npt.NDArray[np.float64]
    measured: npt.NDArray[np.float64]

    @property
    def relative(self) -> npt.NDArray[np.float64]:
        """Signed relative errors; only of figures that the run has."""
        known = np.isfinite(self.measured) & (self.measured > 0)
        return self.predicted[known] / self.measured[known] - 1

    @property
    def error(self) -> float:
        """Mean absolute relative error, as a share."""
        return float(np.abs(self.relative).mean())

    def worst(self) -> tuple[str, float]:
        """Return the figure that is furthest off, and its signed relative error."""
        known = np.isfinite(self.measured) & (self.measured > 0)
        names = list(itertools.compress(FIGURES, known))
        place = int(np.abs(self.relative).argmax())
        return names[place], float(self.relative[place])


def compare(run: Served, setup: Setup, pool: Pool, efficiency: Efficiency) -> Comparison:
    """Predict the figures of a run that `efficiency` may or may not have been fitted on."""
    predicted = serve(run.traffic, setup, efficiency, pool)
    return Comparison(predicted.figures(), run.figures())


def calibrate(run: Served, setup: Setup, pool: Pool, what: str) -> Efficiency:
    """Return the efficiency that explains `run` best; `what` names engine and hardware.

    The link is fitted only if the layout has one; otherwise it stays the uncalibrated guess.
    """
    fit = _Fit(run, setup, pool)
    best = min((fit.descend(np.log(USUAL) + np.log(start)) for start in STARTS), key=fit.cost)
    found = fit.efficiency(best)
    error = compare(run, setup, pool, found).error
    return replace(found, error=error, label=f"calibrated on {what}, error {error:.1%}")


class _Fit:
    """The search; points are logarithms of `NAMES`."""

    def __init__(self, run: Served, setup: Setup, pool: Pool) -> None:
        if (run.traffic.totals > setup.max_model_len).any():
            raise ValueError(
                f"{run.traffic.source}: a request is longer than max_model_len "
                f"{setup.max_model_len}; give the flags the run was made with"
            )
        self._run, self._setup, self._pool = run, setup, pool
        self._count = len(NAMES) if setup.layout.accelerators > 1 else len(NAMES) - 1
        on_cpu = setup.accelerator.kind == "cpu"
        self._low, self._high = np.log(LEAST), np.log(MOST_OF_CPU if on_cpu else MOST)
        self._pull = FIGURE_SPREAD / np.array(SPREAD_OF_CPU if on_cpu else SPREAD)

    def efficiency(self, point: Values) -> Efficiency:
        """Return a point's efficiency, without error and label."""
        return Efficiency(
            **dict(zip(NAMES, np.exp(point).tolist(), strict=True)), error=0, label=""
        )

    def cost(self, point: Values) -> float:
        """Return what the search makes small."""
        return float((self._off(point) ** 2).sum())

    def descend(self, start: Values) -> Values:
        """Return the best point that steps from `start` lead to."""
        point, off, damping = np.clip(start, self._low, self._high), self._off(start), 1e-2
        for _ in range(ROUNDS):
            slopes = self._slopes(point, off)
            while damping < STUBBORN:
                tried = self._step(point, off, slopes, damping)
                now = self._off(tried)
                if (now**2).sum() < (off**2).sum():
                    point, off, damping = tried, now, damping / 5
                    break
                damping *= 5
            else:
                return point
        return point

    def _step(self, point: Values, off: Values, slopes: Values, damping: float) -> Values:
        square = slopes.T @ slopes
        square += damping * np.diag(np.diag(square) + 1e-9)
        step = np.zeros_like(point)
        step[: self._count] = -np.linalg.solve(square, slopes.T @ off)
        return np.clip(point + np.clip(step, -LONGEST, LONGEST), self._low, self._high)

    def _slopes(self, point: Values, off: Values) -> Values:
        """Return how each part of `off` changes with each parameter; inwards from a bound."""
        columns = []
        for place in range(self._count):
            stir = -STIR if point[place] + STIR > self._high[place] else STIR
            moved = point.copy()
            moved[place] += stir
            columns.append((self._off(moved) - off) / stir)
        return np.stack(columns, axis=1)

    def _off(self, point: Values) -> Values:
        """Return how far each figure is off, in logarithms, and each parameter from the usual."""
        compared = compare(self._run, self._setup, self._pool, self.efficiency(point))
        return np.concatenate([np.log1p(compared.relative), self._pull * (point - np.log(USUAL))])
