"""Doubts from what engine and gateway say of themselves: whether they tell the client's story.

A TTFT that the client measured is the gateway's waits, the engine's own TTFT (its queue and the
prefill), and the way between. What is left over is named by where it must be: between client and
gateway where the gateway's own TTFT is as short as the engine's, else in the gateway or behind it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from headrace.bench.asked import is_batched
from headrace.bench.doubt import Doubt, doubtful, note
from headrace.bench.own import Engine, Gateway, Own
from headrace.bench.run import Run
from headrace.bench.summary import Summary
from headrace.bench.words import number, percent, seconds

UNEXPLAINED, LEAST = 0.20, 0.010
"""Share of the client's mean TTFT, and seconds, that may be left over."""
OTHERS = 0.10
"""Share of requests by which an engine's count may differ from the client's."""
_MISSED_LOOKS = 0.10
_FEWEST = 20


def own_doubts(run: Run, summary: Summary) -> Iterator[Doubt]:
    """Yield what is to be said of the metrics beside the run."""
    own = summary.own
    yield from _unseen(own)
    seen = [one for one in own.engines if one.looks > one.failed_looks]
    yield from _restarts(seen)
    if summary.counts.whole >= _FEWEST and seen:
        yield from _counts(summary, seen)
        if not is_batched(run.about):
            yield from _first_token(summary, seen)


def _unseen(own: Own) -> Iterator[Doubt]:
    if not own.engines:
        yield note(
            "No engine's metrics were read, so nothing confirms the client's figures.",
            "Name the engine's metrics page.",
        )
    pages: dict[str, Engine | Gateway] = {f"engine {one.source}": one for one in own.engines}
    if own.gateway is not None:
        pages["the gateway"] = own.gateway
    for name, page in pages.items():
        if page.failed_looks > _MISSED_LOOKS * page.looks:
            some = page.failed_looks < page.looks
            left = "Its figures are of the other looks" if some else "It has no figures"
            yield note(
                f"{page.failed_looks:,} of {page.looks:,} looks at the metrics of {name} failed"
                f" ({page.error}).",
                f"{left}; see whether its page answers.",
            )


def _restarts(seen: Sequence[Engine]) -> Iterator[Doubt]:
    for one in seen:
        if one.restarts:
            yield doubtful(
                f"Engine {one.source} began anew {one.restarts:,} times during the run: its"
                " counters fell.",
                "See its log; figures are of two engines, a warm and a cold one.",
            )


def _counts(summary: Summary, seen: Sequence[Engine]) -> Iterator[Doubt]:
    """Compare how many requests the engines finished with how many the client sent them."""
    if any(one.success is None for one in seen):
        return
    counted = sum(one.success or 0.0 for one in seen)
    counts = summary.counts
    if counted > (1 + OTHERS) * (counts.asked + counts.warmup):
        yield doubtful(
            f"The engines finished {number(counted)} requests while this client had"
            f" {counts.whole:,}: others used them, and the figures are of both loads.",
            "Measure an engine that serves nobody else.",
        )
    elif counted < (1 - OTHERS) * counts.whole:
        unseen = sorted(set(summary.replicas) - {one.source for one in seen} - {""})
        who = f"{', '.join(unseen)} were" if unseen else "some replicas were"
        yield doubtful(
            f"The engines whose metrics were read finished {number(counted)} requests, the client"
            f" had {counts.whole:,} whole answers: {who} not looked at, or pages are of others.",
            "Name the metrics page of every replica (--metrics): only a fleet's own are found.",
        )


def _first_token(summary: Summary, seen: Sequence[Engine]) -> Iterator[Doubt]:
    """Compare the client's mean TTFT, less what the gateway held, with the engines'."""
    client, engine = summary.latencies.ttft.mean, engine_ttft(seen)
    if client is None or engine is None:
        return
    waits = (summary.held.mean or 0.0) + (summary.queued.mean or 0.0)
    over = client - waits - engine
    allowed = max(UNEXPLAINED * client, LEAST)
    said = f"The mean TTFT is {seconds(client)} at the client and {seconds(engine)} by the engines"
    if over < -allowed:
        yield doubtful(
            f"{said}: no engine is slower than what it serves, so these are not its figures, or"
            " others used it too.",
            "See whose metrics page was read.",
        )
    elif over > allowed:
        yield doubtful(
            f"{said}: {seconds(over)}, {percent(over / client)} of it, were lost"
            f" {where(summary, engine + waits, allowed)}.",
            "Send from the gateway's own machine, then straight to the engine, and compare.",
        )


def engine_ttft(seen: Sequence[Engine]) -> float | None:
    """Return the mean TTFT of all requests of some engines, seconds."""
    counted = [(one.ttft, one.ttft_count) for one in seen if one.ttft is not None]
    total = sum(count or 0.0 for _, count in counted)
    return sum(mean * (count or 0.0) for mean, count in counted) / total if total else None


def where(summary: Summary, explained: float, allowed: float) -> str:
    """Say where what is left over of a TTFT was lost."""
    gateway = summary.own.gateway.ttft if summary.own.gateway else None
    if gateway is None:
        return "between client and engine: on the network, in a gateway, or in the client itself"
    if gateway - explained > allowed:
        return "in the gateway, or between it and the engines"
    return "between client and gateway: on the network, or in the client itself"
