"""Whether the gateway keeps what it promises: the limits, checked against the figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from bench.figures import BIG_GAP, over_repeats
from bench.measure import Measurement
from bench.plan import ANSWERS, PASSING, Scenario
from bench.together import Together

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


def verdicts(measurements: Sequence[Measurement], together: Sequence[Together]) -> list[Verdict]:
    """Return whether each promise is kept."""
    return [
        _cpu(PASSING, "CPU per chunk passed on", together),
        _cpu(ANSWERS, "CPU per chunk, a request with every 100 of them", together),
        _gap(measurements),
    ]


def _cpu(scenario: Scenario, what: str, together: Sequence[Together]) -> Verdict:
    text = f"{what}, headrace/vllm-router"
    limit = f"(must be <= {MOST_CPU_RATIO:.1f})"
    usable = [one for one in together if one.scenario == scenario.name and not one.invalid]
    if not usable:
        return Verdict(None, f"{text} {limit}")
    ours, theirs = ([one.costs[name] * 1e6 for one in usable] for name in RIVALS)
    ratios = sorted(mine / peer for mine, peer in zip(ours, theirs, strict=True))
    ratio = median(ratios)
    said = (
        f"{text} = {ratio:.2f}x ({ratios[0]:.2f} to {ratios[-1]:.2f}), "
        f"{median(ours):.1f} against {median(theirs):.1f} us where both run at once on one core, "
        f"median of {len(usable)} {limit}"
    )
    return Verdict(ratio <= MOST_CPU_RATIO, said)


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
