"""The sections of a run's report that have a plot: how to read it, the plot, its figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from headrace.bench import plots_course, plots_latency
from headrace.bench import report_tables as tables
from headrace.bench.answers import Answer
from headrace.bench.asked import is_closed
from headrace.bench.run import Run
from headrace.bench.spread import known
from headrace.bench.summary import Summary, gaps, window
from headrace.bench.words import percent, seconds
from headrace.diagnosis.words import count
from headrace.pages.html import Section

STALL = 10
"""A gap so many times the median one is a stall."""

_SHARES = (
    "The share of requests that had their first token, and their pace, within a time. Further left"
    " is faster; a long flat top is a tail that few users meet, a step is a group of requests that"
    " something held up. Where the two lines of TTFT part, the client was late."
)
_FLIGHT = (
    "Lines that keep rising are a queue that grows: the load is above what the server can do."
    " Waiting in the gateway or the engine is admission; much running and little waiting is"
    " generation; held means that no replica was ready. A KV cache near 100 % makes requests wait"
    " or start again. Grey is the warm-up, and what was 0 all along is not drawn."
)
_POINTS = (
    "Each point is a request, at the time when it was due. A cloud that rises is a growing queue;"
    " bands are kinds of requests, columns are moments in which all had to wait."
)
_THROUGHPUT = (
    "Answered should follow due; where it stays below, work piles up. Tokens count when they came."
)
_LAG = (
    "How long after its time each request was sent. Spikes are moments in which the client was"
    " busy: what they delayed is not the server's doing."
)
_CLOSED_LAG = (
    "In a closed loop a request is due when its client has the last answer; this is how long the"
    " client itself took to send it."
)
_GAPS = (
    "All gaps between two events of an answer; both axes grow by factors. One hill is an even pace."
    " A second hill to the right is decode steps that shared the engine with a prefill; gaps at the"
    " far left are tokens that came together."
)


def latency(run: Run, summary: Summary, good: Sequence[Answer]) -> Iterator[Section]:
    """Show how latencies spread and what was sent; `good` are the whole answers."""
    if not good:
        yield Section("Load", tables=(tables.load(run, summary),))
        return
    due, sent, pace = (
        known(getattr(one, name) for one in good) for name in ("ttft_due", "ttft", "tpot")
    )
    yield Section(
        "How long requests took",
        (_SHARES, "Only whole answers are here: failures have no latency."),
        plots_latency.distributions(due, sent, pace, summary, run.about.slo),
        (tables.latencies(summary), tables.load(run, summary)),
    )


def course(run: Run, summary: Summary, answers: Sequence[Answer]) -> Iterator[Section]:
    """Show the run over its time; `answers` that count by when they were due."""
    if not answers:
        return
    start, end = window(answers)
    flight = plots_course.timeline(run, start, end)
    yield Section("What was in flight, and where it waited", (_FLIGHT, *_summed(summary)), flight)
    svg, drawn, failed = plots_course.first_tokens(answers, run.about.slo)
    counts = summary.counts
    left_out = (
        *_left_out(drawn, counts.whole, "whole answers"),
        *_left_out(failed, counts.asked - counts.whole, "failures"),
    )
    yield Section("Time to first token over the run", (_POINTS, *left_out), svg)
    done = plots_course.throughput(answers, start, end)
    yield Section("Throughput over the run", (_THROUGHPUT,), done, (tables.thirds(summary),))
    late = plots_course.lag(answers, answers[0].due, answers[-1].due)
    said = _CLOSED_LAG if is_closed(run.about) else _LAG
    yield Section("Was the client on time?", (said,), late)


def _summed(summary: Summary) -> Iterator[str]:
    """Say of how many engines a line is the sum."""
    many = len(summary.own.engines)
    if many > 1:
        yield f"Engines' lines are sums over {many}; of the KV cache the fullest is shown."


def _left_out(drawn: int, of: int, what: str) -> Iterator[str]:
    """Say how points were chosen: failures evenly, whole answers by their outline."""
    if drawn < of:
        how = "" if what == "failures" else ": the fastest and slowest of each moment, some others"
        yield f"{drawn:,} of {of:,} {what} are drawn{how}."


def between_tokens(good: Sequence[Answer]) -> Iterator[Section]:
    """Show the gaps between events, and which of them were stalls."""
    values = np.array(gaps(good), np.float64)
    if not len(values) or not values.any():
        return
    usual = float(np.median(values))
    stall = max(STALL * usual, plots_latency.LEAST)
    long = values > stall
    share = float(values[long].sum() / values.sum())
    hit = sum(any(gap > stall for gap in one.gaps) for one in good)
    longer = f"longer than {STALL} times the median ({seconds(stall)})"
    said = (
        f"Of {len(values):,} gaps {int(long.sum()):,} were stalls, {longer}: {percent(share)} of"
        f" the time between tokens, in {count(hit, 'answer')}."
        if hit
        else f"None of the {len(values):,} gaps was a stall, {longer}."
    )
    said += f" The longest was {seconds(float(values.max()))}."
    yield Section("Between tokens", (_GAPS, said), plots_latency.gaps(values, stall))
