"""What experiments compare of a run: the few figures of its summary that conclusions need."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from headrace.bench.doubt import Doubt
from headrace.bench.own import Engine
from headrace.bench.summary import Summary
from headrace.evidence.result import Figure


class Measured(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One run; seconds, and per second. None: there was nothing to make the figure of.

    `requests`, `output_tokens` and `total_tokens` are rates of whole answers; latencies are from
    when a request was due. `goodput` are the requests a second that kept every promise, `good`
    their share. From `running` on all is as the engines tell it, the most of any engine (`running`
    and `waiting` are summed over them). `doubts` say why the run may not be believed.
    """

    asked: int
    whole: int
    failed: int
    seconds: float
    requests: float
    output_tokens: float
    total_tokens: float
    prompt_mean: float | None = None
    output_mean: float | None = None
    ttft_p50: float | None = None
    ttft_p95: float | None = None
    tpot_p50: float | None = None
    tpot_p95: float | None = None
    e2e_p50: float | None = None
    e2e_p95: float | None = None
    in_flight: float = 0.0
    good: float | None = None
    goodput: float | None = None
    hit_share: float | None = None
    running: float | None = None
    waiting: float | None = None
    kv_usage: float | None = None
    preemptions: float | None = None
    failures: dict[str, int] = {}
    doubts: tuple[Doubt, ...] = ()

    @property
    def failed_share(self) -> float:
        """Of the requests that ended."""
        ended = self.whole + self.failed
        return self.failed / ended if ended else 0.0


def measured(summary: Summary, doubts: Sequence[Doubt] = ()) -> Measured:
    """Return the figures of a run's summary."""
    latencies, good = summary.latencies, summary.goodput
    engines = summary.own.engines
    whole = summary.counts.whole
    return Measured(
        asked=summary.counts.asked,
        whole=whole,
        failed=summary.counts.failed,
        seconds=summary.duration,
        requests=summary.requests,
        output_tokens=summary.output_tokens,
        total_tokens=summary.total_tokens,
        prompt_mean=summary.tokens.prompt / whole if whole else None,
        output_mean=summary.tokens.output / whole if whole else None,
        ttft_p50=latencies.ttft_due.p50,
        ttft_p95=latencies.ttft_due.p95,
        tpot_p50=latencies.tpot.p50,
        tpot_p95=latencies.tpot.p95,
        e2e_p50=latencies.e2e_due.p50,
        e2e_p95=latencies.e2e_due.p95,
        in_flight=summary.flight.mean,
        good=good.share if good else None,
        goodput=good.rate if good else None,
        hit_share=_hits(summary, engines),
        running=_sum(one.running.max for one in engines if one.running),
        waiting=_sum(one.waiting.max for one in engines if one.waiting),
        kv_usage=max((one.kv_usage.max for one in engines if one.kv_usage), default=None),
        preemptions=_sum(one.preemptions for one in engines if one.preemptions is not None),
        failures=summary.counts.failures,
        doubts=tuple(doubts),
    )


def figures(some: Sequence[Measured]) -> dict[str, Figure]:
    """Return the means over repeats, with units, as evidence has them; `n` are the repeats."""
    units = {
        "requests": "requests/s", "output_tokens": "tokens/s", "ttft_p50": "s", "ttft_p95": "s",
        "tpot_p50": "s", "tpot_p95": "s", "e2e_p50": "s", "goodput": "requests/s",
        "hit_share": "share", "kv_usage": "share", "preemptions": "", "failed_share": "share",
        "in_flight": "requests", "prompt_mean": "tokens", "output_mean": "tokens",
    }  # fmt: skip
    made: dict[str, Figure] = {}
    for name, unit in units.items():
        mean = mean_of(getattr(one, name) for one in some)
        if mean is not None:
            made[name.replace("_", " ")] = Figure(value=mean, unit=unit, n=len(some))
    return made


def mean_of(values: Iterable[float | None]) -> float | None:
    """Return the mean of what there is."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _hits(summary: Summary, engines: Sequence[Engine]) -> float | None:
    """Return the share of prompt tokens that a cache had: by the answers, else by the engines."""
    if summary.tokens.hit_share is not None:
        return summary.tokens.hit_share
    return mean_of(one.hit_share for one in engines)


def _sum(values: Iterable[float]) -> float | None:
    known = list(values)
    return sum(known) if known else None
