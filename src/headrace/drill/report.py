"""A drill's result as data: counts of outcomes, pauses, and the story. `page.py` shows it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from statistics import median

import msgspec

from headrace.drill.again import Checked
from headrace.drill.judge import Outcome, Verdict
from headrace.drill.seen import Seen
from headrace.drill.timeline import Deed, Timeline, Track, track
from headrace.drill.watch import Memory
from headrace.traffic.quantile import quantile_of_ascending

_EXAMPLES = 10
_NAMED = 3
_MS = 1000.0


class Spread(msgspec.Struct, frozen=True):
    """Milliseconds: percentiles of `count` values; None without any."""

    count: int
    p50: float | None = None
    p99: float | None = None
    max: float | None = None


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What the clients saw: `begun` is the sum of all outcomes, `continued` a part of `whole`.

    `pause_ms` is the longest silence between two tokens of each disturbed stream,
    `undisturbed_ms` the same of the others, `gap_ms` their usual one.
    """

    kind: str
    fleet: str
    model: str
    engine: str
    seed: int
    concurrency: int
    tokens: int
    seconds: float
    begun: int
    whole: int
    continued: int
    failed_loudly: int
    cut_silently: int
    lost: int
    doubled: int
    broken: int
    refused: int
    refused_with: dict[str, int]
    tokens_missing: int
    tokens_doubled: int
    pause_ms: Spread
    undisturbed_ms: Spread
    gap_ms: float | None
    first_token_ms: Spread
    pauses: tuple[float, ...] = ()
    undisturbed: tuple[float, ...] = ()
    checked: Checked | None = None
    unchecked: str = ""
    """Why a real engine was not asked again though it should have been."""
    timeline: tuple[Deed, ...] = ()
    memory: tuple[Memory, ...] = ()
    examples: tuple[str, ...] = ()

    @property
    def good(self) -> bool:
        """Whether nothing was lost, doubled, cut silently or malformed, and nothing is suspect."""
        bad = self.lost + self.doubled + self.cut_silently + self.broken
        suspect = self.unchecked or (self.checked and self.checked.suspects)
        return self.begun > 0 and bad == 0 and not suspect


def spread(seconds: Iterable[float]) -> Spread:
    """Return the percentiles in milliseconds."""
    values = sorted(seconds)
    if not values:
        return Spread(0)
    p50, p99 = (quantile_of_ascending(values, share) for share in (0.5, 0.99))
    return Spread(len(values), *(round(one * _MS, 1) for one in (p50, p99, values[-1])))


class Tally:
    """Adds up answers as they come, and keeps of each only what a report needs."""

    def __init__(self) -> None:
        self.outcomes: Counter[Outcome] = Counter()
        self.refused: Counter[str] = Counter()
        self.continued = self.missing = self.doubled = 0
        self.first: list[float] = []
        self.tracks: list[Track] = []
        self.reasons: dict[str, list[int]] = {}
        """What was wrong, and with which requests."""

    def add(self, seen: Seen, verdict: Verdict) -> None:
        """Take in one answer."""
        self.outcomes[verdict.outcome] += 1
        self.continued += bool(seen.continuations)
        self.missing += verdict.missing
        self.doubled += verdict.doubled
        if verdict.outcome is Outcome.REFUSED:
            self.refused[str(seen.status or seen.end)] += 1
        if verdict.outcome is not Outcome.WHOLE:
            why = f"{verdict.outcome.replace('_', ' ')}: {verdict.why}"
            self.reasons.setdefault(why, []).append(seen.ask.number)
        if seen.ask.stream and seen.times:
            self.first.append(seen.times[0] - seen.began)
        one = track(seen)
        if one is not None:
            self.tracks.append(one)

    def counts(self) -> dict[str, int]:
        """Return the report's fields that are counts of requests or tokens."""
        outcomes = {outcome.value: self.outcomes[outcome] for outcome in Outcome}
        return outcomes | {
            "begun": self.outcomes.total(),
            "continued": self.continued,
            "tokens_missing": self.missing,
            "tokens_doubled": self.doubled,
        }

    def examples(self) -> tuple[str, ...]:
        """Return the most frequent things that were wrong, each with its first requests."""
        frequent = sorted(self.reasons.items(), key=lambda item: -len(item[1]))
        return tuple(
            f"{len(numbers)} {why} (request {', '.join(map(str, numbers[:_NAMED]))})"
            for why, numbers in frequent[:_EXAMPLES]
        )

    def times(self, timeline: Timeline) -> dict[str, Spread | float | tuple[float, ...] | None]:
        """Return the report's fields that are times."""
        disturbed = [one.longest for one in self.tracks if timeline.disturbed(one)]
        calm = [one for one in self.tracks if not timeline.disturbed(one)]
        others = [one.longest for one in calm]
        return {
            "pause_ms": spread(disturbed),
            "undisturbed_ms": spread(others),
            "gap_ms": round(median(one.usual for one in calm) * _MS, 1) if calm else None,
            "first_token_ms": spread(self.first),
            "pauses": _rounded(disturbed),
            "undisturbed": _rounded(others),
        }


def _rounded(seconds: Iterable[float]) -> tuple[float, ...]:
    return tuple(round(value * _MS, 1) for value in seconds)
