"""Whether the gateway keeps what it promises: the limits, checked against the figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from bench.figures import BIG_GAP, CPU_PER_CHUNK, PASSING, Figure, over_repeats, paired_ratios
from bench.measure import Measurement

PROMISED = (PASSING.scenario, CPU_PER_CHUNK.scenario)
RIVALS = ("headrace", "vllm-router")
MOST_CPU_RATIO = 1.0
MOST_ADDED_GAP = 5.0  # milliseconds


@dataclass(frozen=True)
class Verdict:
    """One promise; `kept` none: it was not measured."""

    kept: bool | None
    text: str

    def __str__(self) -> str:
        """Say it in one line."""
        word = {True: "PASS", False: "FAIL", None: "NOT MEASURED"}[self.kept]
        return f"{word}: {self.text}"


def verdicts(measurements: Sequence[Measurement]) -> list[Verdict]:
    """Return whether each promise is kept."""
    return [
        _cpu(PASSING, "CPU per chunk passed on", measurements),
        _cpu(CPU_PER_CHUNK, "CPU per chunk, a request with every 100 of them", measurements),
        _gap(measurements),
    ]


def _cpu(figure: Figure, what: str, measurements: Sequence[Measurement]) -> Verdict:
    text = f"{what}, headrace/vllm-router"
    limit = f"(must be <= {MOST_CPU_RATIO:.1f})"
    pairs = paired_ratios(figure, measurements, *RIVALS)
    if not pairs:
        return Verdict(None, f"{text} {limit}")
    ratio = median(pairs)
    each = ", ".join(f"{one:.2f}" for one in sorted(pairs))
    below = sum(one <= MOST_CPU_RATIO for one in pairs)
    said = f"{text} = {ratio:.2f}x, the median of {len(pairs)} repeats of both {limit}"
    return Verdict(ratio <= MOST_CPU_RATIO, f"{said}; {below} of them at or below it: {each}")


def _gap(measurements: Sequence[Measurement]) -> Verdict:
    text = "largest gap added to other streams by 1 MiB prompts"
    limit = f"(must be < {MOST_ADDED_GAP:.0f} ms beyond direct)"
    added = over_repeats(BIG_GAP, measurements, "headrace")
    if added is None:
        return Verdict(None, f"{text} {limit}")
    text = f"{text} = {added.median:+.1f} ms {limit}"
    if added.late:
        return Verdict(None, f"{text}; the load was late, so this may be its own hitch")
    doubt = ""
    if abs(added.median - MOST_ADDED_GAP) <= added.spread or len(added.values) < 2:
        doubt = "; the limit is inside the spread: inconclusive"
    return Verdict(added.median < MOST_ADDED_GAP, f"{text}{doubt}")
