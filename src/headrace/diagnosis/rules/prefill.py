"""Faults of the prefill: long prompts, and those that wait behind them."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence

from headrace.diagnosis.causes import Cause
from headrace.diagnosis.figures import (
    ENOUGH,
    MANY,
    SLOWER,
    first_kept,
    fresh,
    hurts,
    known,
    lost,
    median,
    mostly,
    prefill,
    served,
    whole,
)
from headrace.diagnosis.finding import Finding, found
from headrace.diagnosis.observation import Observation, Request
from headrace.diagnosis.words import count, span
from headrace.traffic.quantile import quantile

_LONGER = 4
"""Times the tokens of the short prompts that make a prompt a long one among them."""
_SHORT = 1 / 6
"""Where among all prompts, by length, a typical short one is looked for."""
_GAP = 5
"""Times the mean time of a token: a pause that a reader notices."""


def long_prefill(seen: Observation) -> Finding | None:
    """Find first tokens that follow the prompt's tokens, one's own or a neighbour's."""
    done = [one for one in whole(seen.requests) if one.prompt_tokens]
    return _timed(seen, [one for one in done if one.engine is not None]) or _pieces_beside(
        seen, [one for one in done if one.engine is None and one.output_tokens]
    )


def _timed(seen: Observation, timed: Sequence[Request]) -> Finding | None:
    if len(timed) < ENOUGH:
        return None
    short, long = _by_length(timed)
    quick = min(known(map(prefill, short)))
    bound = SLOWER * quick
    slow = [one for one in timed if (prefill(one) or 0.0) >= bound and hurts(prefill(one), one)]
    busy = _spans(long)
    least = min(map(fresh, long), default=math.inf)
    own = [one for one in slow if fresh(one) >= least]
    behind = [
        one for one in slow if fresh(one) < least and busy.meets(one.replica, _prefilled(one))
    ]
    if len(own) + len(behind) >= MANY * len(timed) and (len(own) > 1 or len(behind) > 1):
        seconds = [(prefill(one) or 0.0) - quick for one in (*own, *behind)]
        figures = (_lengths(short, long), *_own(own, quick), *_waited_behind(behind, quick))
        paused = _paused(short, busy)
        strong = bool(own and behind) or bool(paused)
        return found(Cause.LONG_PREFILL, (*figures, *paused), lost(seconds, seen), strong=strong)
    return _all_long(seen, timed)


def _by_length(requests: Sequence[Request]) -> tuple[list[Request], list[Request]]:
    """Return those with short prompts and those with long ones, as uncached tokens count."""
    bound = _LONGER * max(1.0, quantile(map(fresh, requests), _SHORT) or 0.0)
    short = [one for one in requests if fresh(one) < bound]
    return short, [one for one in requests if fresh(one) >= bound]


def _pieces_beside(seen: Observation, pieces: Sequence[Request]) -> Finding | None:
    """Find answers in one piece that take far longer beside long prompts than without.

    Nobody sees the first token of these; so each is measured by the seconds for its tokens.
    """
    short, long = _by_length(pieces)
    busy = _Spans((one.replica, _with_engine(one)) for one in long)
    met = [(busy.meets(one.replica, _with_engine(one)), one) for one in short]
    alone = [one for beside, one in met if not beside]
    harmed = [one for beside, one in met if beside and not _surely_kept(one)]
    if len(long) < 2 or min(len(harmed), len(alone)) < ENOUGH:  # noqa: PLR2004 - one is chance
        return None
    slow, usual = median(map(_each, harmed)), median(map(_each, alone))
    if not slow or not usual or slow < SLOWER * usual:
        return None
    seconds = (served(one) - usual * (one.output_tokens or 0) for one in harmed)
    took = f"{span(slow)} for a token beside these, {span(usual)} at other times"
    figures = (_lengths(short, long), f"{count(len(harmed), 'answer')} in one piece took {took}")
    return found(Cause.LONG_PREFILL, figures, lost((max(0.0, one) for one in seconds), seen))


def _with_engine(one: Request) -> tuple[float, float]:
    return one.ended - served(one), one.ended


def _each(one: Request) -> float:
    return served(one) / (one.output_tokens or 1)


def _surely_kept(one: Request) -> bool:
    """Whether all of it came before its first token had been promised."""
    return one.promised_ttft is not None and one.duration <= one.promised_ttft


def _prefilled(one: Request) -> tuple[float, float]:
    begin = one.at + (one.held or 0.0) + (one.queued or 0.0) + (one.engine_queue or 0.0)
    return begin, begin + (prefill(one) or 0.0)


def _lengths(short: Sequence[Request], long: Sequence[Request]) -> str:
    few, many = (median(map(fresh, part)) or 0 for part in (short, long))
    return f"short prompts have {few:.0f} uncached tokens, {len(long)} long ones {many:.0f}"


def _own(own: Sequence[Request], quick: float) -> tuple[str, ...]:
    if not own:
        return ()
    took = median(map(prefill, own)) or 0.0
    return (f"long prompts' prefill takes {span(took)}, short ones' {span(quick)}",)


def _waited_behind(behind: Sequence[Request], quick: float) -> tuple[str, ...]:
    if not behind:
        return ()
    took = median(map(prefill, behind)) or 0.0
    many = count(len(behind), "shorter request")
    return (f"{many} took {span(took)} instead of {span(quick)} beside a long prompt's prefill",)


class _Spans:
    """Times by replica; `meets` is quick however many there are."""

    def __init__(self, spans: Iterable[tuple[str | None, tuple[float, float]]]) -> None:
        self._by: dict[str | None, tuple[list[float], list[float]]] = {}
        for replica, (since, until) in sorted(spans, key=lambda one: one[1]):
            starts, ends = self._by.setdefault(replica, ([], []))
            starts.append(since)
            ends.append(max(until, ends[-1]) if ends else until)

    def meets(self, replica: str | None, span: tuple[float, float]) -> bool:
        """Whether a time overlaps with one of these on the same replica."""
        starts, ends = self._by.get(replica, ([], []))
        begun = bisect_left(starts, span[1])
        return begun > 0 and ends[begun - 1] > span[0]


def _spans(long: Iterable[Request]) -> _Spans:
    """Return when long prompts were prefilled."""
    return _Spans((one.replica, _prefilled(one)) for one in long)


def _paused(short: Sequence[Request], busy: _Spans) -> tuple[str, ...]:
    """Say how long answers under way paused beside long prompts' prefill, if far beyond a token."""
    gaps = [one.longest_gap for one in short if _gapped(one) and _speaks_beside(one, busy)]
    if len(gaps) < ENOUGH:
        return ()
    return (f"{len(gaps)} answers under way paused for up to {span(max(known(gaps)))} meanwhile",)


def _gapped(one: Request) -> bool:
    return bool(one.longest_gap and one.tpot and one.longest_gap >= _GAP * one.tpot)


def _speaks_beside(one: Request, busy: _Spans) -> bool:
    """Whether its tokens came during a long prompt's prefill on the same replica."""
    return busy.meets(one.replica, (_prefilled(one)[1], one.ended))


def _all_long(seen: Observation, timed: Sequence[Request]) -> Finding | None:
    """All prompts are alike; with nothing waiting, what is before the first token is prefill."""
    looks = [look for replica in seen.replicas for look in replica.looks]
    if not mostly([look.waiting == 0 for look in looks]):
        return None
    heavy = [one for one in timed if _mostly_prefill(one)]
    if len(heavy) < max(ENOUGH, len(timed) / 2):
        return None
    tokens, took = median(map(fresh, heavy)) or 0, median(map(prefill, heavy)) or 0.0
    figures = (
        f"{tokens:.0f} uncached prompt tokens take {span(took)}, more than half of all the time",
        "nothing waits inside the engine",
    )
    return found(Cause.LONG_PREFILL, figures, lost((prefill(one) or 0.0 for one in heavy), seen))


def _mostly_prefill(one: Request) -> bool:
    longer = fresh(one) >= _LONGER * (one.output_tokens or fresh(one))
    return longer and (prefill(one) or 0.0) >= one.duration / 2 and not first_kept(one)
