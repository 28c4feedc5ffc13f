"""The tables of a run's report, made from its summary."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from headrace.bench.answers import Answer, Failure
from headrace.bench.asked import is_closed
from headrace.bench.own import Engine
from headrace.bench.run import Run
from headrace.bench.spread import Spread, enough
from headrace.bench.summary import Part, Summary
from headrace.bench.validity_own import engine_ttft
from headrace.bench.verdict import down, settings
from headrace.bench.words import number, percent, rate, seconds
from headrace.pages.html import Table

EXAMPLES = 3
"""Of each kind of failure."""
_SHOWN = (50, 90, 95, 99)
_BRACKETS = (
    "Due: from when a request should have been sent; sent: from when it was. In brackets: fewer"
    " than ten values lie beyond it, so it is a matter of chance."
)


def latencies(summary: Summary) -> Table:
    """Return all spreads; a percentile beyond which fewer than ten values lie is in brackets."""
    found = summary.latencies
    rows = (
        ("TTFT from due", found.ttft_due),
        ("TTFT from sent", found.ttft),
        ("TPOT", found.tpot),
        ("ITL, all gaps", found.itl),
        ("end to end from due", found.e2e_due),
        ("end to end from sent", found.e2e),
        ("sent late by", summary.lag),
    )
    head = ("", "values", "mean", "p50", "p90", "p95", "p99", "max")
    return Table(
        head,
        tuple((name, f"{spread.count:,}", *figures(spread)) for name, spread in rows),
        caption=_BRACKETS,
    )


def figures(spread: Spread, write: Callable[[float | None], str] = seconds) -> Iterator[str]:
    """Yield mean, percentiles and most; a percentile that too few values make is in brackets."""
    yield write(spread.mean)
    for share in _SHOWN:
        value = getattr(spread, f"p{share}")
        said = write(value)
        yield said if value is None or enough(share, spread.count) else f"({said})"
    yield write(spread.max)


def load(run: Run, summary: Summary) -> Table:
    """Return what was sent, answered and served."""
    counts, tokens, flight, good = summary.counts, summary.tokens, summary.flight, summary.goodput
    rows = [
        ("duration, from the first due to the last answer", seconds(summary.duration)),
        ("requests that count", f"{counts.asked:,}"),
        ("warm-up, counted nowhere", f"{counts.warmup:,}"),
        ("whole answers", f"{counts.whole:,}"),
        ("failed", f"{counts.failed:,} ({percent(counts.failed_share)})"),
        ("in flight when the run was ended", f"{counts.stopped:,}"),
        *([] if is_closed(run.about) else [("requests due a second", rate(summary.offered))]),
        ("requests answered a second", rate(summary.requests)),
        ("output tokens a second", rate(summary.output_tokens)),
        ("prompt and output tokens a second", rate(summary.total_tokens)),
        ("prompt tokens", f"{tokens.prompt:,}"),
        (
            "prompt tokens from a cache",
            "not told" if tokens.cached is None else f"{tokens.cached:,}",
        ),
        ("output tokens", f"{tokens.output:,}"),
        ("output tokens of answers that failed", f"{tokens.lost:,}"),
        ("in flight, mean and most", f"{number(flight.mean)}, {flight.peak:,}"),
        ("processes that sent", f"{run.about.clients:,}"),
    ]
    if good is not None:
        rows += [
            ("goodput, requests a second", f"{rate(good.rate)} ({down(good.share)})"),
            ("goodput, if times counted from sending", down(good.share_sent)),
        ]
    return Table(("", "figure"), tuple(rows))


def parts(found: dict[str, Part], what: str) -> Table:
    """Return the figures of shapes or replicas."""
    head = (what, "requests", "failed", "prompt", "answer", "TTFT p50", "p95", "TPOT p50", "p95",
            "end to end p50", "p95")  # fmt: skip
    rows = tuple(_part(name or "without a name", part) for name, part in found.items())
    return Table(head, rows, caption="TTFT and end to end are from when a request was due.")


def thirds(summary: Summary) -> Table:
    """Return the first and the last third of the run."""
    return parts({"first third": summary.first_third, "last third": summary.last_third}, "part")


def _part(name: str, part: Part) -> tuple[str, ...]:
    spreads = (part.ttft_due, part.tpot, part.e2e)
    return (
        name,
        f"{part.asked:,}",
        f"{part.failed:,}",
        number(None if part.prompt_mean is None else round(part.prompt_mean)),
        number(None if part.output_mean is None else round(part.output_mean)),
        *(seconds(value) for spread in spreads for value in (spread.p50, spread.p95)),
    )


def failures(answers: Sequence[Answer]) -> Table:
    """Return some of each kind, with their own words."""
    rows = []
    for kind in Failure:
        some = [one for one in answers if one.failure == kind and kind is not Failure.STOPPED]
        rows += [_failure(kind, len(some), one) for one in some[:EXAMPLES]]
    head = ("kind", "of these", "request", "due", "after", "status", "its words")
    return Table(head, tuple(rows), words=(0, 6))


def _failure(kind: Failure, many: int, one: Answer) -> tuple[str, ...]:
    status = "-" if one.status is None else str(one.status)
    return (
        str(kind), f"{many:,}", str(one.number), f"{one.due:.1f} s", seconds(max(one.e2e, 0.0)),
        status, one.detail,
    )  # fmt: skip


def stories(summary: Summary) -> Table:
    """Return what client, gateway and engines say of the same load."""
    engines, gateway = summary.own.engines, summary.own.gateway
    found = summary.latencies
    counts = (number(summary.counts.whole), number(gateway.requests if gateway else None))
    rows = (
        ("TTFT, mean", seconds(found.ttft.mean), seconds(gateway.ttft if gateway else None),
         seconds(engine_ttft(engines))),
        ("TPOT, mean", seconds(found.tpot.mean), seconds(gateway.tpot if gateway else None),
         _each(engines, "tpot")),
        ("waits held, mean", "", seconds(summary.held.mean), ""),
        ("waits queued, mean", "", seconds(summary.queued.mean), ""),
        ("requests", *counts, _sum(engines, "success")),
        ("output tokens", number(summary.tokens.output), "", _sum(engines, "generation_tokens")),
        ("prompts from a cache", percent(summary.tokens.hit_share), "", _shares(engines)),
        ("preemptions", "", "", _sum(engines, "preemptions")),
    )  # fmt: skip
    return Table(("", "client", "gateway", "engines"), rows)


def engines(found: Sequence[Engine]) -> Table:
    """Return each engine's gauges."""
    head = ("engine", "looks", "running", "most", "waiting", "most", "KV used", "most", "preempted")
    rows = []
    for one in found:
        levels = [
            write(value)
            for level, write in (
                (one.running, number), (one.waiting, number), (one.kv_usage, percent),
            )
            for value in ((level.mean, level.max) if level else (None, None))
        ]  # fmt: skip
        looks = f"{one.looks - one.failed_looks:,} of {one.looks:,}"
        rows.append((one.source, looks, *levels, number(one.preemptions)))
    return Table(head, tuple(rows))


def repeat(run: Run) -> Table:
    """Return all settings."""
    return Table(("setting", "value"), tuple(settings(run).items()), words=(0, 1))


def _sum(found: Sequence[Engine], name: str) -> str:
    values = [value for one in found if (value := getattr(one, name)) is not None]
    return number(sum(values)) if values else "-"


def _each(found: Sequence[Engine], name: str) -> str:
    """Return the figure of each engine, few of them."""
    values = [getattr(one, name) for one in found]
    return ", ".join(seconds(value) for value in values[:4]) or "-"


def _shares(found: Sequence[Engine]) -> str:
    return ", ".join(percent(one.hit_share) for one in found[:4]) or "-"
