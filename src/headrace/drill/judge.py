"""The verdict on one answer: whole, or in which way not. Pure, and only from what the client saw.

The gateway's own books play no part, nor do its comments. `oracle.py` knows what a twin should have
written; a real engine is asked again afterwards (`again.py`), so here only counts and form speak.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate

from headrace.drill.seen import End, Seen

_ERRORS_FROM = 400
_OK = 200


class Outcome(StrEnum):
    """What became of one request."""

    WHOLE = "whole"
    """Every token once, in the right form, to the end."""
    FAILED_LOUDLY = "failed_loudly"
    """It ended early with an explicit error."""
    CUT_SILENTLY = "cut_silently"
    """It ended as if complete, and tokens are missing."""
    LOST = "lost"
    """No end and no error: silence, or a connection that just closed."""
    DOUBLED = "doubled"
    """Tokens came more than once."""
    BROKEN = "broken"
    """All tokens came, but the form is wrong: two ids, two roles, a wrong usage, no [DONE]."""
    REFUSED = "refused"
    """Turned away before any token."""


BAD = frozenset({Outcome.CUT_SILENTLY, Outcome.LOST, Outcome.DOUBLED, Outcome.BROKEN})
"""Outcomes that fail a drill."""


@dataclass(frozen=True, slots=True)
class Want:
    """The right answer: the text of each token and of some further ones, and the prompt's length.

    A token that is only a part of a character has no text; the one that completes it has.
    """

    pieces: tuple[str, ...]
    prompt_tokens: int
    ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome, why, and how many tokens were missing or came twice."""

    outcome: Outcome
    why: str = ""
    missing: int = 0
    doubled: int = 0


def judge(seen: Seen, want: Want | None = None) -> Verdict:
    """Return the verdict; without `want` the text itself is not judged."""
    if seen.status is None:
        return _without_answer(seen)
    if seen.status != _OK:
        return Verdict(Outcome.REFUSED, f"{seen.status} {'; '.join(seen.errors)}")
    content = _content(seen, want)
    if content:
        return content
    if seen.errors:
        return Verdict(Outcome.FAILED_LOUDLY, seen.errors[0])
    if seen.end in {End.SILENT, End.RESET} or not seen.complete or not _closed(seen):
        return Verdict(Outcome.LOST, f"{seen.end} after {len(seen.times)} token events, no error")
    faults = list(_faults(seen, want))
    return Verdict(Outcome.BROKEN, "; ".join(faults)) if faults else Verdict(Outcome.WHOLE)


def _without_answer(seen: Seen) -> Verdict:
    if seen.end is End.NO_CONNECTION:
        return Verdict(Outcome.REFUSED, "no connection")
    return Verdict(Outcome.LOST, f"{seen.end} without a word")


def _closed(seen: Seen) -> bool:
    """Whether it ended as a complete answer does; a client may take a finish reason for the end."""
    return bool(seen.done or seen.finishes)


def _content(seen: Seen, want: Want | None) -> Verdict | None:
    """Return what is wrong with the tokens of an answer, as far as it went; None if nothing is."""
    whole = not seen.errors and seen.complete and _closed(seen)
    if want is not None:
        wrong = _compare(seen, want, whole=whole)
        if wrong:
            return wrong
    counts = {usage.completion: "the usage" for usage in seen.usages}
    if seen.ask.ids:
        counts |= {len(seen.token_ids): "the token ids"}
    for count, where in sorted(counts.items()):
        if count > seen.ask.tokens:
            return _doubled(count - seen.ask.tokens, f" by {where}")
        if whole and count < seen.ask.tokens:
            return _cut(seen.ask.tokens - count, seen)
    return None


def _compare(seen: Seen, want: Want, *, whole: bool) -> Verdict | None:
    pieces = want.pieces[: seen.ask.tokens]
    right = "".join(pieces)
    if seen.text == right or (not whole and right.startswith(seen.text)):
        return None
    if right.startswith(seen.text):
        ends = list(accumulate(map(len, pieces)))
        return _cut(_tokens_between(ends, len(seen.text), len(right)), seen)
    ends = list(accumulate(map(len, want.pieces)))
    if "".join(want.pieces).startswith(seen.text):
        return _doubled(_tokens_between(ends, len(right), len(seen.text)))
    missing, doubled = _shift(want.pieces, seen.text)
    if doubled:
        return _doubled(doubled)
    return _cut(missing, seen) if missing else _altered(seen, right)


def _altered(seen: Seen, right: str) -> Verdict:
    at = _common(right, seen.text)
    there = f"character {at}: {seen.text[at : at + 20]!r} instead of {right[at : at + 20]!r}"
    return Verdict(Outcome.CUT_SILENTLY, f"the text is another from {there}", missing=1)


def _cut(missing: int, seen: Seen) -> Verdict:
    finish = ", ".join(seen.finishes) or "none"
    why = f"{missing} tokens missing, finish reason {finish}"
    return Verdict(Outcome.CUT_SILENTLY, why, missing=missing)


def _doubled(count: int, where: str = "") -> Verdict:
    return Verdict(Outcome.DOUBLED, f"{count} tokens too many{where}", doubled=count)


def _shift(pieces: Sequence[str], got: str) -> tuple[int, int]:
    """Return tokens (missing, doubled) where `got` leaves the text; (0, 0): neither explains it.

    `pieces` go on beyond the end of a whole answer: an engine that lost count writes on.
    """
    right = "".join(pieces)
    ends = [0, *accumulate(map(len, pieces))]
    leaves = _common(right, got)
    at = ends[bisect_right(ends, leaves) - 1]  # what looks the same inside a token is chance
    rest = got[at:]
    for distance in range(1, len(right)):
        if right.startswith(rest, at + distance):
            return max(1, _tokens_between(ends, at, at + distance)), 0
        if distance <= at and right.startswith(rest, at - distance):
            return 0, max(1, _tokens_between(ends, at - distance, at))
    return 0, 0


def _common(one: str, other: str) -> int:
    """Return the length of the common prefix."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[:middle] == other[:middle] else (low, middle - 1)
    return low


def _tokens_between(ends: Sequence[int], begin: int, end: int) -> int:
    """Count the tokens that end within (begin, end]; `ends` are positions in the text."""
    return bisect_right(ends, end) - bisect_right(ends, begin)


def _faults(seen: Seen, want: Want | None) -> Iterator[str]:
    yield from seen.oddities
    yield from _shape_faults(seen)
    yield from _usage_faults(seen, want)
    if seen.ask.ids and want is not None and want.ids:
        right = want.ids[: seen.ask.tokens]
        if tuple(seen.token_ids) != right:
            yield "the token ids are not those of the text"


def _shape_faults(seen: Seen) -> Iterator[str]:
    if len(seen.heads) != 1:
        varied = [sorted({str(one[part]) for one in seen.heads}) for part in range(4)]
        names = ("id", "object", "model", "created")
        told = [f"{n} {v}" for n, v in zip(names, varied, strict=True) if len(v) > 1]
        yield f"more than one {', '.join(told)}"
    roles = ["assistant"] if seen.ask.chat else []
    if seen.roles != roles:
        yield f"roles {seen.roles} instead of {roles}"
    if seen.indices != {0}:
        yield f"indices {sorted(seen.indices)}"
    if seen.finishes != ["length"]:
        yield f"finish reasons {seen.finishes}"
    if seen.ask.stream and seen.done != 1:
        yield f"{seen.done} times [DONE]"


def _usage_faults(seen: Seen, want: Want | None) -> Iterator[str]:
    asked = seen.ask.usage or not seen.ask.stream
    if len(seen.usages) != int(asked):
        yield f"{len(seen.usages)} usages instead of {int(asked)}"
    prompt = want.prompt_tokens if want else len(seen.prompt_ids) if seen.prompt_ids else None
    for usage in seen.usages:
        if prompt is not None and usage.prompt != prompt:
            yield f"usage counts {usage.prompt} prompt tokens instead of {prompt}"
        if usage.total != usage.prompt + usage.completion:
            yield f"usage {tuple(usage)} does not add up"
