"""Whether quantized weights are worth it: memory, speed, errors and quality, in words.

`quantization_load.py` measures; here is what follows, from figures alone. A quantized variant is a
candidate, never an upgrade by itself: the words say so whatever the figures are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec

from headrace.evidence.result import Figure, Support
from headrace.experiments.case import Case
from headrace.experiments.compared import compared, table
from headrace.experiments.doubts import doubts_of
from headrace.experiments.finding import Conclusion, Plot, Series
from headrace.experiments.measured import Measured, figures
from headrace.experiments.quality import Answered, Apart, agreement, apart
from headrace.experiments.repeats import Contrast
from headrace.experiments.words import changed, number, percent, seconds
from headrace.fleet.units import format_size
from headrace.pages.html import Table

FULL = "as it is"
QUANTIZED = "quantized"
LIMIT = 0.02
"""Share of perplexity that may be lost, unless the settings say otherwise."""
MATTERS = 0.05
"""Share of the tokens/s that is a gain or a loss."""
SHOWN = 16
"""Differing answers on the page; all are in differences.jsonl."""
_CLIP = 110


class Held(msgspec.Struct, frozen=True, kw_only=True, tag="held"):
    """What a copy takes, in bytes: its weights' files and its processes; its KV cache in tokens."""

    label: str
    weights: int
    memory: int
    kv_tokens: int | None = None
    started: float


class Timed(msgspec.Struct, frozen=True, kw_only=True, tag="timed"):
    """One run."""

    label: str
    repeat: int
    figures: Measured


Point = Held | Timed | Answered


@dataclass(frozen=True)
class Seen:
    """All that was measured, by what it is of; None where it was not."""

    full: Held | None
    small: Held | None
    rows: dict[str, Contrast]
    quality: Apart | None
    noise: Apart | None
    """The full weights asked again, in other batches."""
    limit: float

    @property
    def gain(self) -> Contrast | None:
        """Of the output tokens/s."""
        return self.rows.get("output_tokens")

    @property
    def speed(self) -> int:
        """1 for certainly faster, -1 for certainly slower, 0 for neither."""
        gain = self.gain
        if gain is None or not gain.certain or abs(gain.share) < MATTERS:
            return 0
        return 1 if gain.share > 0 else -1

    @property
    def saved(self) -> float | None:
        """The share of the weights' bytes that is saved."""
        if self.full is None or self.small is None:
            return None
        return 1 - self.small.weights / self.full.weights

    @property
    def worse(self) -> bool | None:
        """Whether quality certainly suffers beyond the limit; None where it is not decided."""
        if self.quality is None:
            return None
        if self.quality.fewer or self.quality.low > self.limit:
            return True
        return None if self.quality.high > self.limit else False


def seen(points: Sequence[Point], case: Case) -> Seen:
    """Sort what was measured."""
    held = {one.label: one for one in points if isinstance(one, Held)}
    timed = [one for one in points if isinstance(one, Timed)]
    said = [one for one in points if isinstance(one, Answered)]
    full = [one for one in said if one.label == FULL]
    small = [one for one in said if one.label == QUANTIZED]
    return Seen(
        full=held.get(FULL),
        small=held.get(QUANTIZED),
        rows=compared(*([t.figures for t in timed if t.label == x] for x in (FULL, QUANTIZED))),
        quality=apart(full[0], small[0]) if full and small else None,
        noise=apart(full[0], full[1]) if len(full) > 1 else None,
        limit=float(case.settings.get("limit", LIMIT)),
    )


def conclude(points: Sequence[Point], case: Case) -> Conclusion:
    """Say whether the variant is worth a trial."""
    found = seen(points, case)
    return Conclusion(
        words=tuple(_words(found, case)),
        tables=tuple(_tables(found, points)),
        plots=_plots(found),
        figures=_figures(found),
        variants={
            label: figures([t.figures for t in points if isinstance(t, Timed) and t.label == label])
            for label in (FULL, QUANTIZED)
        },
        doubts=tuple(_doubts(found, points)),
        supports=tuple(_supports(found, case)),
        next=_next(found),
    )


def _words(found: Seen, case: Case) -> Iterator[str]:
    yield _answer(found, case)
    if (memory := _memory(found)) is not None:
        yield memory
    if found.rows:
        yield _speed(found)
    if found.quality is not None:
        yield from _quality(found.quality, found.noise)
    yield (
        "a quantized variant is a candidate, not an upgrade: give it a small weight in a route"
        " beside the full one, and compare what your own users and questions make of it"
    )


def _answer(found: Seen, case: Case) -> str:
    if found.quality is None:
        return "only one of the two was asked, so nothing can be compared"
    gains = _gains(found)
    if found.worse:
        return f"no: {case.deployment} quantized loses quality beyond the limit; it {gains}"
    if found.worse is None:
        return (
            f"not decided: {case.deployment} quantized {gains}, and these questions are too few to"
            f" say whether its perplexity grows by less than {percent(found.limit)}"
        )
    kept = f"and no loss of quality beyond {percent(found.limit)} of perplexity was found"
    if found.speed < 0:
        return f"only where memory is short: {case.deployment} quantized {gains}, {kept}"
    return f"worth a trial: {case.deployment} quantized {gains}, {kept}"


def _gains(found: Seen) -> str:
    saved = f"saves {percent(found.saved)} of the weights' memory" if found.saved else "saves none"
    gain = found.gain
    if gain is None:
        return saved
    if not found.speed:
        return f"{saved} at a speed that is not certainly another"
    faster = "faster" if found.speed > 0 else "slower"
    return f"{saved} and is {percent(abs(gain.share))} {faster} (tokens/s)"


def _memory(found: Seen) -> str | None:
    full, small = found.full, found.small
    if full is None or small is None:
        return None
    said = (
        f"memory: weights {format_size(full.weights)} -> {format_size(small.weights)}, all"
        f" processes {format_size(full.memory)} -> {format_size(small.memory)}"
    )
    if full.kv_tokens is None or small.kv_tokens is None:
        return said
    if full.kv_tokens == small.kv_tokens:
        return (
            f"{said}; the KV cache has {full.kv_tokens:,} tokens either way, as kv_cache fixes it:"
            " what is saved is room for a larger one"
        )
    return f"{said}; room in the KV cache {full.kv_tokens:,} -> {small.kv_tokens:,} tokens"


def _speed(found: Seen) -> str:
    named = (
        ("output_tokens", "", False),
        ("ttft_p50", "TTFT p50 ", True),
        ("tpot_p50", "TPOT p50 ", True),
    )
    said = [
        f"{name}{changed(found.rows[field], '' if time else 'tokens/s', time=time)}"
        for field, name, time in named
        if field in found.rows
    ]
    return f"speed: {'; '.join(said)}"


def _quality(one: Apart, noise: Apart | None) -> Iterator[str]:
    again = f" (the full weights asked again: {percent(noise.first)})" if noise else ""
    yield (
        f"quality: of {one.tasks} tasks with known answers {one.done + one.lost - one.won} were"
        f" right before and {one.done} after ({one.lost} lost, {one.won} won, {_luck(one)});"
        f" perplexity of texts {percent(one.perplexity, signed=True)}"
        f" ({percent(one.low, signed=True)} to {percent(one.high, signed=True)})"
    )
    floor = f", of the full weights asked again {percent(noise.same)}" if noise else ""
    yield (
        f"it would have chosen {percent(one.first)} of the tokens of the full model's"
        f" answers{again}; {percent(one.same)} of its own answers are the same to the end{floor}"
    )


def _luck(one: Apart) -> str:
    if not one.lost and not one.won:
        return "none changed"
    if one.chance >= 1:
        return "as chance would have it"
    return f"by chance in {percent(one.chance)} of such trials"


def _tables(found: Seen, points: Sequence[Point]) -> Iterator[Table]:
    if found.full is not None and found.small is not None:
        yield _held(found.full, found.small)
    if found.rows:
        yield table(found.rows, FULL, QUANTIZED, caption="the same load, in turns")
    if found.quality is not None:
        yield _apart(found.quality, found.noise)
    yield from _differences(points)


def _held(full: Held, small: Held) -> Table:
    rows = (
        ("weights", format_size(full.weights), format_size(small.weights)),
        ("all processes", format_size(full.memory), format_size(small.memory)),
        ("KV cache, tokens", number(full.kv_tokens), number(small.kv_tokens)),
        ("start", seconds(full.started), seconds(small.started)),
    )
    return Table(("memory", FULL, QUANTIZED), rows)


def _apart(one: Apart, noise: Apart | None) -> Table:
    def row(name: str, value: str, again: str) -> tuple[str, ...]:
        return (name, value, again if noise else "-")

    two = noise or one
    rows = (
        row("tasks done", f"{one.done} of {one.tasks}", f"{two.done} of {two.tasks}"),
        row("tasks lost, won", f"{one.lost}, {one.won}", f"{two.lost}, {two.won}"),
        row(
            "perplexity", percent(one.perplexity, signed=True), percent(two.perplexity, signed=True)
        ),
        row("the same next token", percent(one.first), percent(two.first)),
        row("nats lost a token", number(one.drop), number(two.drop)),
        row("answers the same to the end", percent(one.same), percent(two.same)),
        row("answers the same until", percent(one.until), percent(two.until)),
    )
    return Table(("quality, against the full weights", QUANTIZED, "full, asked again"), rows)


def _differences(points: Sequence[Point]) -> Iterator[Table]:
    said = [one for one in points if isinstance(one, Answered)]
    full = next((one for one in said if one.label == FULL), None)
    small = next((one for one in said if one.label == QUANTIZED), None)
    if full is None or small is None:
        return
    rows = [
        (_clipped(prompt, last=True), _clipped(before), _clipped(after), verdict, percent(share))
        for prompt, before, after, verdict, share in differences(full, small)
    ]
    head = ("asked (its end)", "full", QUANTIZED, "right?", "same until")
    caption = f"answers that differ, {min(len(rows), SHOWN)} of {len(rows)}"
    if rows:
        yield Table(head, tuple(rows[:SHOWN]), words=(0, 1, 2, 3), caption=caption)


def differences(full: Answered, small: Answered) -> list[tuple[str, str, str, str, float]]:
    """Return prompt, both answers, who is right and the share before they part; tasks first."""
    found = []
    tasks = iter(zip(full.rights, small.rights, strict=True))
    for question, one, other in zip(full.questions, full.replies, small.replies, strict=True):
        verdict = ""
        if question.answer is not None:
            verdict = _VERDICTS[next(tasks)]
        if one.ids != other.ids:
            share = agreement(one.ids, other.ids)
            found.append((question.prompt, one.text, other.text, verdict, share))
    return sorted(found, key=lambda one: (_ORDER.index(one[3]), one[4]))


_VERDICTS = {
    (True, True): "both",
    (True, False): "only full",
    (False, True): f"only {QUANTIZED}",
    (False, False): "neither",
}
_ORDER = ("only full", f"only {QUANTIZED}", "neither", "both", "")


def _clipped(text: str, *, last: bool = False) -> str:
    flat = " ".join(text.split())
    if len(flat) <= _CLIP:
        return flat
    return f"…{flat[-_CLIP:]}" if last else f"{flat[:_CLIP]}…"


def _plots(found: Seen) -> tuple[Plot, ...]:
    named = (("output_tokens", "tokens/s"), ("ttft_p50", "TTFT p50"), ("tpot_p50", "TPOT p50"))
    rows = [(name, found.rows[field]) for field, name in named if field in found.rows]
    rows = [(name, one) for name, one in rows if one.before]
    if not rows:
        return ()
    names = tuple(name for name, _ in rows)
    noise = tuple(min(one.noise_share, 1.0) for _, one in rows)
    return (
        Plot(
            heading="Speed beside the full weights",
            reading="Full is 1. More tokens/s are better, less TTFT and TPOT; whiskers are noise.",
            x="",
            y="share of full",
            kind="bars",
            series=(
                Series(FULL, names, tuple(1.0 for _ in rows)),
                Series(QUANTIZED, names, tuple(1 + one.share for _, one in rows), noise),
            ),
        ),
    )


def _figures(found: Seen) -> dict[str, Figure]:
    made = {}
    if found.saved is not None:
        made["weights saved"] = Figure(value=found.saved, unit="share")
    if found.gain is not None and found.gain.before:
        made["tokens/s"] = Figure(value=1 + found.gain.share, unit="of full")
    if (one := found.quality) is not None:
        bounded = one.high < float("inf")
        made["perplexity change"] = Figure(
            value=one.perplexity,
            unit="share",
            low=one.low if bounded else None,
            high=one.high if bounded else None,
        )
        made["tasks done"] = Figure(value=one.done / max(one.tasks, 1), unit="share", n=one.tasks)
        made["same next token"] = Figure(value=one.first, unit="share")
    return made


def _doubts(found: Seen, points: Sequence[Point]) -> Iterator[str]:
    timed = [one for one in points if isinstance(one, Timed)]
    yield from doubts_of((f"{one.label} ({one.repeat + 1})", one.figures) for one in timed)
    if found.quality is not None and found.noise is None:
        yield "the full weights were asked once only, so their own noise is not known"
    one = found.quality
    if one is not None and one.tasks and one.done + one.lost - one.won < one.tasks / 4:
        yield "the full model does few of the tasks itself, so they tell little about what is lost"


def _supports(found: Seen, case: Case) -> Iterator[Support]:
    """Yield what holds for either: a variant worth a trial does not speak against full weights."""
    if found.worse is None or found.quality is None:
        return
    says = f"{_gains(found)}; perplexity {percent(found.quality.perplexity, signed=True)}"
    yield Support(
        setting="quantization",
        value=None if case.settings.get("weights") else "int8",
        holds=not found.worse and found.speed >= 0,
        variant=QUANTIZED,
        says=says,
    )
    yield Support(setting="quantization", variant=FULL, says=f"full weights; quantized {says}")


def _next(found: Seen) -> str:
    if found.worse is None:
        return "ask questions of your own: --set questions=FILE (JSON lines: prompt, answer)"
    if found.worse:
        return "keep the full weights; a scheme with more bits may do (--set weights=SOURCE)"
    return "a route with a few percent for the variant, and headrace compare"
