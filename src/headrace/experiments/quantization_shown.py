"""Tables and plots of full against quantized weights; among them the answers that differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from headrace.experiments.compared import table
from headrace.experiments.finding import Plot, Series
from headrace.experiments.quality import Answered, Apart, agreement
from headrace.experiments.quantization_seen import FULL, QUANTIZED, Held, Point, Seen
from headrace.experiments.words import number, percent, seconds
from headrace.fleet.units import format_size
from headrace.pages.html import Table

SHOWN = 8
"""Differing answers on the page; all are in differences.jsonl."""
_CLIP, _END = 110, 44
"""Letters of an answer that are shown, and of the end of what was asked."""


def tables(found: Seen, points: Sequence[Point]) -> Iterator[Table]:
    """Yield what there is to show of memory, speed, quality and answers."""
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
    most = _END if last else _CLIP
    if len(flat) <= most:
        return flat
    return f"…{flat[-most:]}" if last else f"{flat[:most]}…"


def plots(found: Seen) -> tuple[Plot, ...]:
    """Return the speed beside that of the full weights."""
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
