"""Whether quantized weights are worth it: memory, speed, errors and quality, in words.

`quantization_load.py` measures; here is what follows, from figures alone. A quantized variant is a
candidate, never an upgrade by itself: the words say so whatever the figures are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from headrace.evidence.result import Figure, Support
from headrace.experiments.case import Case
from headrace.experiments.doubts import doubts_of
from headrace.experiments.finding import Conclusion
from headrace.experiments.measured import figures
from headrace.experiments.quality import Apart
from headrace.experiments.quantization_seen import FULL, QUANTIZED, Point, Seen, Timed, seen
from headrace.experiments.quantization_shown import plots, tables
from headrace.experiments.words import changed, percent
from headrace.fleet.units import format_size


def conclude(points: Sequence[Point], case: Case) -> Conclusion:
    """Say whether the variant is worth a trial."""
    found = seen(points, case)
    return Conclusion(
        words=tuple(_words(found, case)),
        tables=tuple(tables(found, points)),
        plots=plots(found),
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
