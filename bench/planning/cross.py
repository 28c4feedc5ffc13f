"""Fitted on one card, tried on the other: the error to expect of a plan for unmeasured hardware."""

from __future__ import annotations

from collections.abc import Iterator

from bench.planning.recorded import Recorded
from headrace.capacity.calibration import Comparison, calibrate, compare
from headrace.capacity.efficiency import UNCALIBRATED, Efficiency

HEAD = (
    "| fitted on | tried on | KV blocks | error | TTFT p50 | TPOT p50 | E2E p50 | worst |\n"
    "| --- | --- | --- | --- | --- | --- | --- | --- |"
)


def rows(runs: tuple[Recorded, ...]) -> Iterator[str]:
    """Yield the table: each fit on each run, then no fit at all."""
    fits = [(one.name, calibrate(one.run, one.setup, one.pool, one.name)) for one in runs]
    for name, efficiency in (*fits, ("nothing", UNCALIBRATED)):
        for one in runs:
            yield _row(name, one, efficiency)
    for name, efficiency in fits:
        yield f"\n{name}: {values(efficiency)}"


def values(efficiency: Efficiency) -> str:
    """Return what was fitted, in words."""
    return (
        f"bandwidth {efficiency.bandwidth:.0%}, compute {efficiency.compute:.0%}, "
        f"{efficiency.overhead * 1e3:.1f} ms a step, {efficiency.per_sequence * 1e6:.0f} us a "
        f"sequence ({efficiency.label})"
    )


def _row(fitted: str, one: Recorded, efficiency: Efficiency) -> str:
    """Return one line, with the error for the blocks as planned where they differ."""
    measured = compare(one.run, one.setup, one.pool, efficiency)
    blocks, error = f"{one.pool.blocks:,}", f"{measured.error:.1%}"
    if one.logged_blocks:
        planned = compare(one.run, one.setup, one.planned, efficiency)
        blocks += f" (planned {one.planned.blocks:,})"
        error += f" ({planned.error:.1%})"
    return f"| {fitted} | {one.name} | {blocks} | {error} | {errors(measured)} |"


def errors(comparison: Comparison) -> str:
    """Return the signed errors of the medians, and the worst of the twelve figures."""
    ttft, tpot, e2e = (comparison.predicted[1::4] / comparison.measured[1::4]) - 1
    name, worst = comparison.worst()
    return f"{ttft:+.1%} | {tpot:+.1%} | {e2e:+.1%} | {name} {worst:+.1%}"
