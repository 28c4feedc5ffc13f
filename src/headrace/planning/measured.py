"""What was measured on this very setting, beside what the plan says of the same requests.

A plan is of the routes' traffic, a measurement of the requests that were sent. So the plan's
arithmetic is asked about those: as many in flight, with as long prompts and answers on average.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from headrace.capacity.closed_loop import closed_loop
from headrace.capacity.lengths import Lengths
from headrace.capacity.steady import State
from headrace.evidence.result import Evidence, Figure, Variant
from headrace.evidence.words import amount, figure
from headrace.planning.plan import Plan

_NEEDED = ("in flight", "prompt mean", "output mean")
"""Figures of a variant without which the plan cannot be asked about the same requests."""
MOST = 3
"""Results that are shown, the newest: older ones of the same are in `headrace evidence list`."""


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """One figure as measured and as planned; `off` is the plan's error as a share of measured."""

    name: str
    measured: Figure
    planned: float
    off: float

    @property
    def words(self) -> str:
        """Say how far off the plan is: `-14%`, `2.3 times`."""
        return f"{self.off:+.0%}" if self.off < 1 else f"{self.off + 1:.3g} times"


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """One variant of a result that holds for the plan's deployment; lengths in tokens."""

    evidence: str
    day: str
    variant: str
    in_flight: float
    prompt: float
    output: float
    doubts: tuple[str, ...]
    pairs: tuple[Pair, ...]

    @property
    def title(self) -> str:
        """Say what was measured, and of what requests."""
        return (
            f"measured, {self.variant} ({self.evidence}): {self.in_flight:.3g} in"
            f" flight, {self.prompt:.0f} + {self.output:.0f} tokens{self._doubted}"
        )

    @property
    def _doubted(self) -> str:
        count = len(self.doubts)
        return f"; {count} doubt{'s' * (count > 1)}" if count else ""

    @property
    def rows(self) -> tuple[tuple[str, str, str, str], ...]:
        """Each figure: its name, as measured, as planned, how far off the plan is."""
        return tuple(
            (one.name, figure(one.measured), amount(one.planned, one.measured.unit), one.words)
            for one in self.pairs
        )


COLUMNS = ("", "measured", "the plan for the same", "off by")


def measured(plan: Plan) -> tuple[Measured, ...]:
    """Return what was validly measured on this setting, the newest result first."""
    newest = reversed(plan.grounds.known.results)
    found = [list(_of(plan, one)) for one in newest if one.valid]
    return tuple(each for some in [one for one in found if one][:MOST] for each in some)


def _of(plan: Plan, evidence: Evidence) -> Iterator[Measured]:
    for variant in evidence.variants:
        figures = variant.figures
        if variant.fingerprint.key != plan.grounds.fingerprint.key or not _complete(variant):
            continue
        in_flight, prompt, output = (figures[name].value for name in _NEEDED)
        state = _planned(plan, in_flight, prompt, output)
        if state is not None:
            yield Measured(
                evidence=evidence.id,
                day=evidence.day,
                variant=variant.name,
                in_flight=in_flight,
                prompt=prompt,
                output=output,
                doubts=evidence.doubts,
                pairs=tuple(_pairs(variant, state)),
            )


def _complete(variant: Variant) -> bool:
    """Whether it has all that is needed, of requests that have tokens."""
    known = [variant.figures[name].value for name in _NEEDED if name in variant.figures]
    return len(known) == len(_NEEDED) and min(known) > 0


def _planned(plan: Plan, in_flight: float, prompt: float, output: float) -> State | None:
    lengths = Lengths.fixed(max(1, round(prompt)), max(1, round(output)))
    return closed_loop(plan.subject.steady_of(lengths), max(in_flight, 1.0))


def _pairs(variant: Variant, state: State) -> Iterator[Pair]:
    """Yield what both have; the plan's times are means, which medians are near to."""
    planned = {
        "requests": state.rate,
        "output tokens": state.tokens_per_second,
        "ttft p50": state.ttft,
        "ttft p95": state.ttft_p95,
        "tpot p50": state.tpot,
        "tpot p95": state.tpot_p95,
    }
    for name, value in planned.items():
        found = variant.figures.get(name)
        if found is not None and found.value > 0:
            off = value / found.value - 1
            yield Pair(name=name, measured=found, planned=value, off=off)
