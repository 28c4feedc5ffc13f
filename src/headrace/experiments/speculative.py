"""What guessing tokens ahead changed, in words.

`speculative_load.py` measures; here is what follows, from figures alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec

from headrace.evidence.result import Figure, Support
from headrace.experiments.case import Case
from headrace.experiments.change import AS_IT_IS
from headrace.experiments.compared import compared, table
from headrace.experiments.doubts import doubts_of
from headrace.experiments.finding import Conclusion, Plot, Series
from headrace.experiments.measured import Measured, figures
from headrace.experiments.repeats import Contrast
from headrace.experiments.words import changed, number, percent
from headrace.pages.html import Table

SETTING = "engine.flags.speculative-config"
GUESSING = "guessing ahead"
MATTERS = 0.05
"""Share of the tokens/s that is worth a flag, or speaks against it."""
SEVERAL = 1.05
"""Tokens for each event of a stream above which it is worth a sentence."""


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a copy; `drafted` and `accepted` tokens by the engine's counters.

    `tokens_per_event` is above 1 where an event of the stream carries several tokens: gaps between
    events (ITL) are then no times of tokens.
    """

    label: str
    traffic: str
    concurrency: int
    repeat: int
    figures: Measured
    tokens_per_event: float | None = None
    drafts: float | None = None
    drafted: float | None = None
    accepted: float | None = None


@dataclass(frozen=True)
class Pair:
    """A kind of traffic at a concurrency: what guessing changes, and how many guesses hold."""

    name: str
    rows: dict[str, Contrast]
    acceptance: float | None
    per_draft: float | None
    drafted: float
    tokens_per_event: float | None

    @property
    def gain(self) -> Contrast | None:
        """Of the output tokens/s."""
        return self.rows.get("output_tokens")


def pairs(points: Sequence[Point]) -> list[Pair]:
    """Return what was measured both ways, in the order in which it was asked."""
    keys = dict.fromkeys((one.traffic, one.concurrency) for one in points)
    return [pair for traffic, many in keys if (pair := _pair(points, traffic, many)) is not None]


def _pair(points: Sequence[Point], traffic: str, many: int) -> Pair | None:
    here = [one for one in points if (one.traffic, one.concurrency) == (traffic, many)]
    plain = [one.figures for one in here if one.label == AS_IT_IS.label]
    ahead = [one for one in here if one.label == GUESSING]
    rows = compared(plain, [one.figures for one in ahead])
    if not rows:
        return None
    drafted, accepted, drafts = (
        sum(getattr(one, name) or 0.0 for one in ahead)
        for name in ("drafted", "accepted", "drafts")
    )
    told = [one.tokens_per_event for one in ahead if one.tokens_per_event is not None]
    return Pair(
        name=f"{traffic}, {many} at once" if many > 1 else f"{traffic}, one at a time",
        rows=rows,
        acceptance=accepted / drafted if drafted else None,
        per_draft=accepted / drafts if drafts else None,
        drafted=drafted,
        tokens_per_event=sum(told) / len(told) if told else None,
    )


def conclude(points: Sequence[Point], case: Case) -> Conclusion:
    """Say for which traffic guessing ahead pays."""
    found = pairs(points)
    if not found:
        return Conclusion(
            words=("only one of the two copies was measured, so nothing can be compared",),
            next="run it again to its end",
        )
    helped, hurt = _those(found, 1), _those(found, -1)
    return Conclusion(
        words=tuple(_words(found, helped, hurt)),
        tables=(_table(found), *(_compared(one) for one in found)),
        plots=(_plot(found),),
        figures=_figures(found),
        variants={
            label: figures([one.figures for one in points if one.label == label])
            for label in (AS_IT_IS.label, GUESSING)
        },
        doubts=tuple(_doubts(points, found)),
        supports=_supports(helped, hurt, str(case.settings.get("config", ""))),
        next=_next(helped, hurt),
    )


def _those(found: Sequence[Pair], way: int) -> list[Pair]:
    """Return those that certainly gain (1) or lose (-1) what matters."""
    return [
        one
        for one in found
        if (gain := one.gain) is not None and gain.certain and gain.share * way >= MATTERS
    ]


def _words(found: Sequence[Pair], helped: Sequence[Pair], hurt: Sequence[Pair]) -> Iterator[str]:
    if helped and hurt:
        yield (
            f"guessing ahead pays for {_listed(helped)},"
            f" and costs {_listed(hurt)}: give what repeats"
            " its prompt a deployment of its own"
        )
    elif helped:
        yield (
            f"guessing ahead pays for {_listed(helped)},"
            " and certainly slows nothing else that was asked"
        )
    elif hurt:
        yield f"guessing ahead does not pay here: it costs {_listed(hurt)} and speeds nothing up"
    else:
        yield (
            "guessing ahead makes no certain difference of"
            f" {percent(MATTERS)} or more to the tokens/s here"
        )
    for one in found:
        if one.gain is not None:
            yield f"{one.name}: {changed(one.gain, 'tokens/s')}; {_acceptance(one)}"
    if any((one.tokens_per_event or 1) > SEVERAL for one in found):
        yield (
            "an event of the stream then carries several tokens, so the gap between events (ITL)"
            " grows while the time per token (TPOT) falls: promise TPOT, not ITL"
        )


def _listed(some: Sequence[Pair]) -> str:
    return "; ".join(
        f"{one.name} ({percent(one.gain.share, signed=True)} tokens/s)"
        for one in some
        if one.gain is not None
    )


def _acceptance(one: Pair) -> str:
    if one.acceptance is None or one.per_draft is None:
        return "the engine counted no guesses"
    return (
        f"{percent(one.acceptance)} of {number(one.drafted)} guessed tokens were right,"
        f" {number(one.per_draft)} for each guess"
    )


def _table(found: Sequence[Pair]) -> Table:
    rows = tuple(
        (
            one.name,
            number(one.gain.before if one.gain else None),
            number(one.gain.after if one.gain else None),
            percent(one.gain.share if one.gain else None, signed=True),
            percent(one.acceptance),
            number(one.per_draft),
            number(one.tokens_per_event),
        )
        for one in found
    )
    head = (
        "traffic",
        "tokens/s",
        "guessing",
        "change",
        "accepted",
        "right a guess",
        "tokens/event",
    )
    return Table(head, rows)


def _compared(one: Pair) -> Table:
    return table(one.rows, AS_IT_IS.label, GUESSING, caption=one.name)


def _plot(found: Sequence[Pair]) -> Plot:
    gains = {one.name: one.gain for one in found if one.gain is not None}
    names = tuple(gains)
    noise = tuple(min(one.noise, one.after) for one in gains.values())
    return Plot(
        heading="Output tokens a second",
        reading="Whiskers are the noise of the difference: a bar inside them is no difference.",
        x="traffic",
        y="tokens/s",
        kind="bars",
        series=(
            Series(AS_IT_IS.label, names, tuple(one.before for one in gains.values())),
            Series(GUESSING, names, tuple(one.after for one in gains.values()), noise),
        ),
    )


def _figures(found: Sequence[Pair]) -> dict[str, Figure]:
    made = {}
    for one in found:
        if (gain := one.gain) is not None and gain.before:
            half = gain.noise / gain.before
            sure = half < float("inf")
            made[f"tokens/s, {one.name}"] = Figure(
                value=1 + gain.share,
                unit="of that without",
                low=1 + gain.share - half if sure else None,
                high=1 + gain.share + half if sure else None,
            )
        if one.acceptance is not None:
            made[f"accepted, {one.name}"] = Figure(value=one.acceptance, unit="share")
    return made


def _doubts(points: Sequence[Point], found: Sequence[Pair]) -> Iterator[str]:
    yield from doubts_of((_name(one), one.figures) for one in points)
    if any(one.acceptance is None for one in found):
        yield "the engine does not tell how many guesses it made, or it made none"


def _name(one: Point) -> str:
    return f"{one.label}, {one.traffic}, {one.concurrency} at once ({one.repeat + 1})"


def _supports(helped: Sequence[Pair], hurt: Sequence[Pair], config: str) -> tuple[Support, ...]:
    if not helped and not hurt:
        return ()
    said = "; ".join(part for part in (_listed(helped), _listed(hurt)) if part)
    return (
        Support(
            setting=SETTING,
            value=config,
            holds=bool(helped) and not hurt,
            variant=GUESSING,
            says=said,
        ),
    )


def _next(helped: Sequence[Pair], hurt: Sequence[Pair]) -> str:
    if helped:
        return (
            "replay your own prompts (headrace bench --file) against a deployment with"
            f" {SETTING}, for how much repeats is a matter of the traffic"
        )
    return (
        "a smaller draft model guesses free prose better than n-grams do; leave the flag out until"
        " one was measured"
        if hurt
        else "ask more (--long), or leave the flag out"
    )
