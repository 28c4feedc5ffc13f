"""What each configuration gives up against the others that keep the SLO, in a sentence.

A ranking by cost alone hides what the cheap ones pay with: time, evidence, spare replicas.
`choose.py` asks here, and the figures are those of the options themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from headrace.capacity.options import Ask, Option
from headrace.capacity.words import span

TWICE = 2.0
NOTABLE = 1.25
"""A time below this multiple of another is not worth a word: estimates are no closer."""


def gives_up(ask: Ask, option: Option, kept: Sequence[Option]) -> str:
    """Return what `option` gives up; `kept` are all that keep the SLO, best first."""
    parts = [
        *_money(option, kept[0]),
        *_times(option, kept),
        *_quality(option),
        *_safety(ask, option),
        *_doubts(ask, option),
    ]
    sentence = "; ".join(parts)
    return sentence[:1].upper() + sentence[1:] if sentence else "Nothing that the others have"


def _money(option: Option, first: Option) -> Iterator[str]:
    mine, best = option.cost.thousand_requests, first.cost.thousand_requests
    if mine > best > 0:
        ratio = mine / best
        more, times = f"{ratio - 1:.0%} more money than", f"{ratio:.1f} times the cost of"
        much = more if ratio < TWICE else times
        yield f"{much} {first.name} ({mine:.3g} against {best:.3g} per 1,000 requests)"


def _times(option: Option, kept: Sequence[Option]) -> Iterator[str]:
    yield from _slower("TPOT", option, kept, lambda one: one.state.tpot_p95)
    yield from _slower("TTFT", option, kept, lambda one: one.state.ttft_p95)


def _slower(
    what: str, option: Option, kept: Sequence[Option], time: Callable[[Option], float]
) -> Iterator[str]:
    """Name the cheapest option that is notably faster; `kept` is in the order of cost."""
    faster = next((one for one in kept if NOTABLE * time(one) < time(option)), None)
    if faster is not None:
        yield (
            f"{what} p95 is {span(time(option))}, where {faster.name} has {span(time(faster))}"
            f" for {faster.cost.thousand_requests:.3g} per 1,000 requests"
        )


def _quality(option: Option) -> Iterator[str]:
    if option.needs_evidence:
        scheme = option.setup.weights.scheme
        yield f"needs evidence of quality: {scheme} changes the answers, measure them first"


def _safety(ask: Ask, option: Option) -> Iterator[str]:
    if option.replicas == 1:
        yield (
            f"one replica only: when it fails nothing answers for the"
            f" {ask.reaction.cold_start:g} s of a cold start"
        )
    spanned = option.offer.nodes.spanned(option.setup.layout)
    if spanned > 1:
        yield f"each replica spans {spanned} nodes and fails with any of them"


def _doubts(ask: Ask, option: Option) -> Iterator[str]:
    worse = 1 + option.efficiency.error
    over = [
        name
        for name, value, bound in (
            ("TTFT", option.state.ttft_p95, ask.slo.ttft),
            ("TPOT", option.state.tpot_p95, ask.slo.tpot),
        )
        if value * worse > bound
    ]
    if over:
        yield f"{' and '.join(over)} may miss the SLO within the error ({option.efficiency.label})"
    if not option.fit.sure:
        yield "may not start: the memory is enough only if the assumed parts are not larger"
