"""What sharing a model over several ranks changed, in words.

`parallel_load.py` measures; here is what follows, from figures alone.
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
from headrace.experiments.measured import Measured, figures, mean_of
from headrace.experiments.predicted import Predicted
from headrace.experiments.repeats import Contrast
from headrace.experiments.words import changed, number, percent, seconds
from headrace.fleet.units import format_size
from headrace.pages.html import Table

MATTERS = 0.05
"""Share of a figure that is worth accelerators."""


class Point(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One run on a copy of `tensor` x `pipeline` ranks; or, with `refused`, why there is none.

    `memory` is of all its processes in bytes, `started` the seconds of its start, `predicted` what
    the plan says of the same load.
    """

    label: str
    tensor: int = 1
    pipeline: int = 1
    repeat: int = 0
    refused: str = ""
    figures: Measured | None = None
    memory: int | None = None
    started: float | None = None
    predicted: Predicted | None = None
    cores: int | None = None
    """Of a CPU, which the ranks share."""

    @property
    def ranks(self) -> int:
        """Accelerators, or on a CPU processes."""
        return self.tensor * self.pipeline


@dataclass(frozen=True)
class Layout:
    """All that is known of one way to share the model, against one rank."""

    label: str
    points: tuple[Point, ...]
    rows: dict[str, Contrast]

    @property
    def one(self) -> Point:
        """Its size."""
        return self.points[0]

    @property
    def figures(self) -> list[Measured]:
        """Of its runs."""
        return [one.figures for one in self.points if one.figures is not None]

    @property
    def refused(self) -> str:
        """Why it does not run; empty if it does."""
        return next((one.refused for one in self.points if one.refused), "")

    @property
    def predicted(self) -> Predicted | None:
        """What the plan says."""
        return next((one.predicted for one in self.points if one.predicted), None)


def layouts(points: Sequence[Point]) -> list[Layout]:
    """Return what was measured or refused, in order; the first that ran as it is, is the base."""
    base = [one.figures for one in points if one.label == AS_IT_IS.label and one.figures]
    found = []
    for label in dict.fromkeys(one.label for one in points):
        own = tuple(one for one in points if one.label == label)
        mine = [one.figures for one in own if one.figures is not None]
        rows = compared(base, mine) if label != AS_IT_IS.label else {}
        found.append(Layout(label, own, rows))
    return found


def conclude(points: Sequence[Point], case: Case) -> Conclusion:  # noqa: ARG001 - as all are called
    """Say which way to share the model pays, and why others are none."""
    found = layouts(points)
    compared_ = [one for one in found if one.rows]
    best = _best(compared_)
    return Conclusion(
        words=tuple(_words(found, compared_, best)),
        tables=(_table(found), *(table(one.rows, AS_IT_IS.label, one.label) for one in compared_)),
        plots=_plots(found),
        figures=_figures(compared_),
        variants={one.label: figures(one.figures) for one in found if one.figures},
        doubts=tuple(_doubts(found)),
        supports=tuple(_supports(found)),
        next=_next(compared_, best),
    )


def _best(some: Sequence[Layout]) -> Layout | None:
    """Return the layout that certainly has most tokens/s above one rank's."""
    gains = [one for one in some if _gain(one) is not None and _verdict(one) > 0]
    return max(gains, key=lambda one: one.rows["output_tokens"].share, default=None)


def _gain(one: Layout) -> Contrast | None:
    return one.rows.get("output_tokens")


def _verdict(one: Layout) -> int:
    """Return 1 for a certain gain of tokens/s, -1 for a certain loss, 0 where nobody knows.

    Where the tokens/s leave it open, a token that certainly takes longer (TPOT) is a loss, too.
    """
    gain, token = _gain(one), one.rows.get("tpot_p50")
    if gain is not None and _matters(gain):
        return 1 if gain.share > 0 else -1
    return -1 if token is not None and _matters(token) and token.share > 0 else 0


def _matters(one: Contrast) -> bool:
    return one.certain and abs(one.share) >= MATTERS


def _loss(one: Layout) -> str:
    """Say what a layout loses."""
    gain, token = _gain(one), one.rows.get("tpot_p50")
    if (gain is None or not _matters(gain)) and token is not None:
        return f"TPOT {percent(token.share, signed=True)}"
    return f"{percent(gain.share, signed=True)} tokens/s" if gain is not None else "slower"


def _words(found: Sequence[Layout], some: Sequence[Layout], best: Layout | None) -> Iterator[str]:
    yield _answer(some, best)
    for one in found:
        if one.refused:
            yield f"{one.label} is impossible here: {one.refused}"
        elif one.rows:
            yield f"{one.label}: {_changes(one)}; {_cost(one)}"
        if said := _against_plan(one):
            yield said


def _answer(some: Sequence[Layout], best: Layout | None) -> str:
    if not some:
        return "nothing was measured beside one rank, so there is nothing to compare"
    if best is not None:
        gain = best.rows["output_tokens"]
        pays = _pays(best, gain)
        return f"{best.label} has {1 + gain.share:.2f} times the tokens/s of one rank: {pays}"
    if all(_verdict(one) < 0 for one in some):
        worst = "; ".join(f"{one.label} {_loss(one)}" for one in some)
        return f"one rank is faster here ({worst}): stay with it as long as the model fits"
    return "no certain difference was found; one rank is the cheaper one"


def _pays(best: Layout, gain: Contrast) -> str:
    """Say whether as many replicas of one rank would do more."""
    ranks = best.one.ranks
    if 1 + gain.share >= ranks:
        return f"more than {ranks} replicas of one rank would have, so it pays"
    return (
        f"it shortens an answer, but {ranks} replicas of one rank on as many accelerators would"
        f" have up to {ranks} times, so it pays only for latency or where the model does not fit"
    )


def _changes(one: Layout) -> str:
    rows = one.rows
    said = []
    if "output_tokens" in rows:
        said.append(changed(rows["output_tokens"], "tokens/s"))
    for field, name in (("ttft_p50", "TTFT p50"), ("tpot_p50", "TPOT p50")):
        if field in rows:
            said.append(f"{name} {changed(rows[field], time=True)}")
    return "; ".join(said)


def _cost(one: Layout) -> str:
    memory = mean_of(point.memory for point in one.points)
    start = mean_of(point.started for point in one.points)
    held = f"{format_size(memory)} of memory" if memory else "memory unknown"
    return f"{one.one.ranks} ranks, {held}, ready after {seconds(start)}"


def _against_plan(one: Layout) -> str:
    """Say how far the plan was from what was measured; nothing where there is no plan."""
    told, rate = one.predicted, mean_of(run.output_tokens for run in one.figures)
    if told is None or rate is None or not told.output_tokens:
        return ""
    off = rate / told.output_tokens - 1
    inside = abs(told.output_tokens / rate - 1) <= told.error
    verdict = "within" if inside else "outside"
    return (
        f"the plan says {number(told.output_tokens)} tokens/s for {one.label} and {number(rate)}"
        f" were measured ({percent(off, signed=True)}), {verdict} its ±{percent(told.error)}"
        f" ({told.label})"
    )


def _table(found: Sequence[Layout]) -> Table:
    rows = []
    for one in found:
        tokens, told = mean_of(run.output_tokens for run in one.figures), one.predicted
        memory = mean_of(point.memory for point in one.points)
        rows.append(
            (
                one.label,
                str(one.one.ranks),
                number(tokens),
                number(told.output_tokens if told else None),
                seconds(mean_of(run.ttft_p50 for run in one.figures)),
                seconds(mean_of(run.tpot_p50 for run in one.figures)),
                format_size(memory) if memory else "-",
                seconds(mean_of(point.started for point in one.points)),
                str(sum(run.failed for run in one.figures)) if one.figures else "refused",
            )
        )
    head = ("copy", "ranks", "tokens/s", "planned", "TTFT p50", "TPOT p50", "memory", "start")
    return Table((*head, "failed"), tuple(rows))


def _plots(found: Sequence[Layout]) -> tuple[Plot, ...]:
    ran = [one for one in found if one.figures]
    if not ran:
        return ()
    names = tuple(one.label for one in ran)
    tokens = tuple(mean_of(run.output_tokens for run in one.figures) for one in ran)
    planned = tuple(one.predicted.output_tokens if one.predicted else None for one in ran)
    noise = tuple(
        min(gain.noise, gain.after) if (gain := _gain(one)) is not None else 0.0 for one in ran
    )
    series = [Series("measured", names, tokens, noise)]
    if any(one is not None for one in planned):
        series.append(Series("planned", names, planned))
    return (
        Plot(
            heading="Output tokens a second",
            reading="Whiskers are the noise of the difference to the copy as it is.",
            x="copy",
            y="tokens/s",
            series=tuple(series),
            kind="bars",
        ),
    )


def _figures(some: Sequence[Layout]) -> dict[str, Figure]:
    return {
        f"tokens/s, {one.label}": Figure(value=1 + gain.share, unit="of that of one rank")
        for one in some
        if (gain := _gain(one)) is not None
    }


def _doubts(found: Sequence[Layout]) -> Iterator[str]:
    runs = [(one.label, one.repeat, one.figures) for each in found for one in each.points]
    yield from doubts_of((f"{label} ({n + 1})", run) for label, n, run in runs if run is not None)
    for one in found:
        cores = one.one.cores
        if one.figures and cores is not None and one.one.ranks > cores:
            shared = f"share {cores} cores and wait for each other"
            yield f"the {one.one.ranks} ranks of {one.label} {shared}"


def _supports(found: Sequence[Layout]) -> Iterator[Support]:
    for one in found:
        field = "pipeline_parallel" if one.one.pipeline > 1 else "tensor_parallel"
        value = one.one.pipeline if one.one.pipeline > 1 else one.one.tensor
        if one.refused:
            yield Support(setting=field, value=value, holds=False, says=one.refused)
        elif (gain := _gain(one)) is not None and (verdict := _verdict(one)):
            said = f"{1 + gain.share:.2f} times the tokens/s of one rank"
            said = said if _matters(gain) else _loss(one)
            yield Support(
                setting=field, value=value, holds=verdict > 0, variant=one.label, says=said
            )
            if verdict < 0:
                other = f"{one.label} has {said}"
                yield Support(setting=field, value=1, variant=AS_IT_IS.label, says=other)


def _next(some: Sequence[Layout], best: Layout | None) -> str:
    if not some:
        return "run it where a layout divides the model's heads, or as a pipeline on GPUs"
    if best is None:
        return "headrace experiment batching: what more requests at once do on one rank"
    return "headrace choose: what replicas of one rank on the same accelerators would do and cost"
