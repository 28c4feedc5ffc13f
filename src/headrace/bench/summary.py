"""The figures of a run: `summary.json`. A pure function of its answers and samples.

Definitions are those of vLLM's `bench serve` where it has them. Only whole answers have latencies
and count as throughput; those of the warm-up count nowhere. Beside each time from sending stands
the one from when the request was due, which is what a user would have waited: a client that is
late must not flatter the server.

`validity.py` says whether the figures can be trusted, `page.py` and `report.py` show them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import chain, groupby

import msgspec
import numpy as np

from headrace.bench.answers import Answer, Failure
from headrace.bench.flight import Flight, flight
from headrace.bench.goodput import Goodput, goodput
from headrace.bench.own import Own, own
from headrace.bench.run import Run
from headrace.bench.spread import Spread, spread, spread_of


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """How requests ended: `asked` is the sum of `whole`, `failed` and `stopped`.

    `stopped` were in flight when the run was ended; they say nothing about the server.
    """

    asked: int
    whole: int
    failed: int
    stopped: int
    warmup: int
    failures: dict[str, int]
    """By `Failure`, without "stopped"."""

    @property
    def failed_share(self) -> float:
        """Of the requests that could end."""
        ended = self.whole + self.failed
        return self.failed / ended if ended else 0.0


class Latencies(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds, of whole answers. `_due` is from when the request was due, the others from sending.

    `itl` are the gaps between events of all answers together: an event may carry several tokens.
    `tpot` has one value per answer of two or more tokens.
    """

    ttft: Spread
    ttft_due: Spread
    tpot: Spread
    itl: Spread
    e2e: Spread
    e2e_due: Spread


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens of whole answers, and by whose count: engines' usage, or as many as events came."""

    prompt: int
    output: int
    cached: int | None
    """Prompt tokens from a prefix cache; None where no answer tells."""
    hit_share: float | None
    """`cached` over the prompt tokens of the answers that tell it."""
    by_usage: int
    """Answers whose tokens are by the engine's usage."""
    by_events: int
    lost: int
    """Output tokens that came for answers which then failed."""


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """Some of a run's requests: those of a shape, a replica, or a third of the run."""

    asked: int
    whole: int
    failed: int
    prompt_mean: float | None
    output_mean: float | None
    ttft: Spread
    ttft_due: Spread
    tpot: Spread
    e2e: Spread


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """All figures of a run; times in seconds, rates a second.

    `duration` is from when the first counted request was due to when the last one was over, so the
    tail after the last arrival counts, and the warm-up does not. All rates are over it.
    """

    duration: float
    counts: Counts
    latencies: Latencies
    lag: Spread
    """How late requests were sent, of all that were sent, failed ones too."""
    offered: float
    """Requests due a second: their number less one over the time from first to last; 0 for one."""
    requests: float
    """Whole answers a second."""
    output_tokens: float
    total_tokens: float
    tokens: Tokens
    goodput: Goodput | None
    """None where no SLO was given."""
    flight: Flight
    shapes: dict[str, Part]
    replicas: dict[str, Part]
    first_third: Part
    last_third: Part
    own: Own
    held: Spread
    """Seconds that the gateway says its requests waited for a ready replica."""
    queued: Spread


def summarise(run: Run) -> Summary:
    """Return the figures of a run; one without a counted answer has empty ones."""
    answers = run.by_due
    good = [one for one in answers if one.failure is None]
    start, end = window(answers)
    duration, tokens, third = end - start, _tokens(answers, good), len(answers) // 3
    return Summary(
        duration=duration,
        counts=_counts(answers, good, len(run.answers) - len(answers)),
        latencies=_latencies(good),
        lag=spread(one.lag for one in answers),
        offered=_offered(answers),
        requests=_rate(len(good), duration),
        output_tokens=_rate(tokens.output, duration),
        total_tokens=_rate(tokens.prompt + tokens.output, duration),
        tokens=tokens,
        goodput=goodput(answers, run.about.slo, duration),
        flight=flight(answers),
        shapes=_parts(answers, lambda one: one.shape),
        replicas=_parts(answers, lambda one: one.replica or ""),
        first_third=part(answers[:third]),
        last_third=part(answers[len(answers) - third :]),
        own=own(run.samples, start, end),
        held=spread(one.held for one in good),
        queued=spread(one.queued for one in good),
    )


def window(answers: Sequence[Answer]) -> tuple[float, float]:
    """Return when the first was due and when the last was over; zeros without any."""
    if not answers:
        return 0.0, 0.0
    return min(one.due for one in answers), max(one.ended for one in answers)


def part(answers: Sequence[Answer]) -> Part:
    """Return the figures of some requests."""
    good = [one for one in answers if one.failure is None]
    return Part(
        asked=len(answers),
        whole=len(good),
        failed=sum(_failed(one) for one in answers),
        prompt_mean=spread(one.prompt_tokens for one in good).mean,
        output_mean=spread(one.output_tokens for one in good).mean,
        ttft=spread(one.ttft for one in good),
        ttft_due=spread(one.ttft_due for one in good),
        tpot=spread(one.tpot for one in good),
        e2e=spread(one.e2e for one in good),
    )


def gaps(answers: Sequence[Answer]) -> list[float]:
    """Return the gaps between events of all of them."""
    return list(chain.from_iterable(one.gaps for one in answers))


def _failed(one: Answer) -> bool:
    return one.failure not in (None, Failure.STOPPED)


def _counts(answers: Sequence[Answer], good: Sequence[Answer], warmup: int) -> Counts:
    kinds = Counter(str(one.failure) for one in answers if _failed(one))
    failed = kinds.total()
    return Counts(
        asked=len(answers),
        whole=len(good),
        failed=failed,
        stopped=len(answers) - len(good) - failed,
        warmup=warmup,
        failures=dict(sorted(kinds.items())),
    )


def _latencies(good: Sequence[Answer]) -> Latencies:
    return Latencies(
        ttft=spread(one.ttft for one in good),
        ttft_due=spread(one.ttft_due for one in good),
        tpot=spread(one.tpot for one in good),
        itl=spread_of(np.array(gaps(good), np.float64)),
        e2e=spread(one.e2e for one in good),
        e2e_due=spread(one.e2e_due for one in good),
    )


def _tokens(answers: Sequence[Answer], good: Sequence[Answer]) -> Tokens:
    telling = [one for one in good if one.cached_tokens is not None]
    cached = sum(one.cached_tokens or 0 for one in telling)
    prompts = sum(one.prompt_tokens or 0 for one in telling)
    by_usage = sum(one.tokens_from == "usage" for one in good)
    return Tokens(
        prompt=sum(one.prompt_tokens or 0 for one in good),
        output=sum(one.output_tokens or 0 for one in good),
        cached=cached if telling else None,
        hit_share=cached / prompts if prompts else None,
        by_usage=by_usage,
        by_events=len(good) - by_usage,
        lost=sum(one.output_tokens or 0 for one in answers if one.failure is not None),
    )


def _offered(answers: Sequence[Answer]) -> float:
    """Return the rate at which requests were due; answers in that order."""
    if len(answers) < 2:  # noqa: PLR2004 - a rate needs two
        return 0.0
    return _rate(len(answers) - 1, answers[-1].due - answers[0].due)


def _rate(amount: float, duration: float) -> float:
    return amount / duration if duration > 0 else 0.0


def _parts(answers: Sequence[Answer], name: Callable[[Answer], str]) -> dict[str, Part]:
    """Return the parts by name; nothing where there are no names."""
    ordered = sorted(answers, key=name)
    found = {called: part(list(some)) for called, some in groupby(ordered, name)}
    return found if any(found) else {}
