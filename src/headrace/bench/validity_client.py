"""Doubts about the load generator: whether it was on time, had time, and sent what was asked.

**Lag.** A late request makes the time from when it was due longer and the time from sending flatter
the server, by as much as it was late. So lateness is judged against the shortest time that is
reported: beyond 5 % of the median TTFT the two disagree by more than runs usually do, beyond 20 %
they measure the client. Below a millisecond nothing is said: the clocks of machines that serve are
no better. In a closed loop nothing is late, but a slow client is a smaller load than was asked for.

**Arrivals.** By `traffic/arrival_fit.py`. At its 5 % level one sound run in twenty would be
accused, so its distance is held against the 0.1 % level here: a client that bunches its requests is
far beyond it.
"""

from __future__ import annotations

from collections.abc import Iterator

from headrace.bench.asked import arrivals_of, is_closed, load_of
from headrace.bench.doubt import Doubt, doubtful, note, worthless
from headrace.bench.run import Run
from headrace.bench.spread import known
from headrace.bench.summary import Summary
from headrace.bench.words import multiple, number, percent, rate, seconds
from headrace.traffic.arrival_fit import RATE_TOLERANCE, Fit, fit

LATE, TOO_LATE = 0.05, 0.20
"""Shares of the median TTFT that the p99 of the lag may be."""
SHORTEST, SHORTEST_TOO_LATE, SLOW = 0.001, 0.005, 0.005
"""Seconds of lag below which it is not doubted, is not worthless, and is not worth a note."""
BUSY = 0.80
"""Share of a core: a process above it has requests that wait for each other."""
_SURE = 1.95 / 1.358
"""The Kolmogorov-Smirnov limit at 0.1 % over that at 5 %."""
_LOOP = "Send from more processes (workers), or from a machine that serves nothing."


def client_doubts(run: Run, summary: Summary) -> Iterator[Doubt]:
    """Yield what is to be said of the client."""
    yield from _trouble(run)
    yield from _closed_lag(run, summary) if is_closed(run.about) else _lag(run, summary)
    yield from _cpu(summary)
    yield from _loop(summary)
    yield from _arrivals(run)


def _trouble(run: Run) -> Iterator[Doubt]:
    """Tell what went wrong with the run itself."""
    for said in run.about.lost:
        yield worthless(
            f"A process of the load generator was lost ({said}): the load was too small.",
            "Run it again; if it was killed for memory, keep no texts or send fewer at once.",
        )
    for said in run.about.trouble:
        yield doubtful(f"The run itself had trouble: {said}.", "Mend that, and run it again.")


def _lag(run: Run, summary: Summary) -> Iterator[Doubt]:
    late, ttft = summary.lag.p99, summary.latencies.ttft.p50
    if late is None or ttft is None or late <= SHORTEST:
        return
    said = (
        f"1 request in 100 was sent {seconds(late)} late or more, {multiple(late / ttft)} the"
        f" median TTFT of {seconds(ttft)}"
    )
    most = load_of(run.about).most_in_flight
    remedy = (
        f"The bound of {most:,} in flight made them wait: raise --most-in-flight."
        if most and summary.flight.peak >= most
        else _LOOP
    )
    if late > max(TOO_LATE * ttft, SHORTEST_TOO_LATE):
        yield worthless(f"{said}: the figures measure the client as much as the server.", remedy)
    elif late > LATE * ttft:
        yield doubtful(f"{said}: times from sending look better than users' would.", remedy)
    elif late > SLOW:
        yield note(f"{said}; too little to change the figures.", remedy)


def _closed_lag(run: Run, summary: Summary) -> Iterator[Doubt]:
    late, whole = summary.lag.mean, summary.latencies.e2e.mean
    clients = load_of(run.about).concurrency
    if late is not None and whole is not None and late > max(LATE * whole, SHORTEST):
        yield doubtful(
            f"Between an answer and the next request the client took {seconds(late)} in the mean,"
            f" {percent(late / whole)} of an answer's time: fewer than the asked {clients} requests"
            " were in flight.",
            _LOOP,
        )


def _cpu(summary: Summary) -> Iterator[Doubt]:
    cpu = summary.own.client.cpu if summary.own.client else None
    if cpu is None or cpu.max <= BUSY:
        return
    said = f"The client's processes took {percent(cpu.mean)} of a core in the mean"
    said += f" and {percent(cpu.max)} at most"
    if cpu.mean > BUSY:
        yield doubtful(f"{said}: tokens waited for it, so TTFT and ITL are too long.", _LOOP)
    else:
        yield note(f"{said}: for moments it was short of time.", _LOOP)


def _loop(summary: Summary) -> Iterator[Doubt]:
    lag = summary.own.client.lag if summary.own.client else None
    ttft = summary.latencies.ttft.p50
    if lag is None or ttft is None or lag.max <= SLOW:
        return
    said = f"The client's event loop was up to {seconds(lag.max)} behind"
    if lag.mean > LATE * ttft:
        yield doubtful(f"{said}, {seconds(lag.mean)} in the mean: its times are too long.", _LOOP)
    elif lag.max > TOO_LATE * ttft:
        yield note(f"{said} for moments: single times may be too long by as much.", _LOOP)


def _arrivals(run: Run) -> Iterator[Doubt]:
    """Compare what was sent with the schedule; later turns of sessions wait for answers."""
    arrivals = arrivals_of(run.about)
    timed = [one for one in run.answers if one.turn == 0]
    if arrivals is None or not timed:
        return
    found = fit(arrivals, known(one.due for one in timed), known(one.sent for one in timed))
    if not found.enough or not found.rate_due:
        return
    off = abs(found.rate - found.rate_due) / found.rate_due
    if off > RATE_TOLERANCE:
        said = f"{rate(found.rate)} requests a second were sent where {rate(found.rate_due)} were"
        kind = worthless if off > TOO_LATE else doubtful
        yield kind(f"{said} due: the server was measured under another load.", _LOOP)
    elif found.distance > _SURE * found.critical:
        yield _uneven(found)


def _uneven(found: Fit) -> Doubt:
    return doubtful(
        f"Requests did not come as they were to come: the gaps' coefficient of variation is"
        f" {number(found.cv)} where {number(found.cv_due)} was asked, and their distribution is"
        f" {percent(found.distance)} away (sound runs: below {percent(_SURE * found.critical)}).",
        _LOOP,
    )
