"""A run for people, in a terminal: was the promise kept, at what load, and who is at fault.

`report.py` has the same with plots, `summary.py` all figures for programs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import compress

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.table import Table
from rich.text import Text

from headrace.bench.asked import is_closed
from headrace.bench.doubt import Doubt, Severity
from headrace.bench.judged import Judged
from headrace.bench.report_tables import figures
from headrace.bench.run import Run
from headrace.bench.spread import enough
from headrace.bench.summary import Summary
from headrace.bench.verdict import down, headline, outcome, times, verdict
from headrace.bench.words import number, percent, rate, seconds
from headrace.diagnosis.finding import Diagnosis, Judgement
from headrace.diagnosis.words import count
from headrace.pages.canvas import plain

_COLUMNS = {"mean": True, "p50": False, "p90": True, "p95": False, "p99": True, "max": True}
"""Columns of the latencies, and whether a narrow terminal goes without."""
_WIDE = 72
"""Columns of a terminal that all of them take."""
_FINEST = 5
"""Digits of seconds of a lag: nothing rests on less than 10 us."""
_STYLE = {Severity.WORTHLESS: "bold red", Severity.DOUBTFUL: "yellow", Severity.NOTE: "dim"}


def page(found: Judged) -> Group:
    """Return a run's page to print; a worthless one says so before anything else."""
    run, summary, doubts, diagnosis = found
    worthless = [one for one in doubts if one.severity is Severity.WORTHLESS]
    parts: list[RenderableType] = [*_doubts(worthless)]
    if worthless:
        parts.append(Text(""))
    parts += [Text(headline(run, summary), style="bold"), Text(outcome(run, summary))]
    parts += [_title("admission, generation or life cycle?"), *_fault(diagnosis, run, summary)]
    parts += [_title(_of_what(summary)), _Latencies(summary)]
    parts += [_title("load"), *_load(run, summary), *_failed(run, summary)]
    rest = [one for one in doubts if one not in worthless]
    if rest:
        parts += [_title("doubts"), *_doubts(rest)]
    return Group(*parts)


def _title(words: str) -> Text:
    return Text(f"\n{words}", style="bold")


def _doubts(doubts: Sequence[Doubt]) -> Iterator[Text]:
    for one in doubts:
        yield Text.assemble((f"{one.severity}: ", _STYLE[one.severity]), str(one))


def _fault(found: Diagnosis, run: Run, summary: Summary) -> Iterator[Text]:
    """Yield the verdict, what shows it and what to do, then where the time went."""
    style = "bold" if found.judgement is Judgement.AT_FAULT else ""
    yield Text(verdict(found, run, summary), style=style)
    for one in found.findings[:3]:
        yield Text(f"  {one.cause}: {'; '.join(one.figures)}")
    if found.findings:
        yield Text(f"  {found.findings[0].advice}")
        yield Text(f"  next: {found.findings[0].experiment}", style="dim")
    if found.times:
        said = ", ".join(f"{name} {seconds(value)}" for name, value in times(found).items())
        yield Text(f"A mean answer's time: {said}.", style="dim")


def _of_what(summary: Summary) -> str:
    said = f"latencies of {count(summary.counts.whole, 'whole answer')}"
    few = summary.counts.whole and not enough(99, summary.counts.whole)
    return f"{said} (in brackets: fewer than ten values beyond)" if few else said


class _Latencies:
    """The table of latencies; in a narrow terminal with fewer columns, so that none is cut."""

    def __init__(self, summary: Summary) -> None:
        self._summary = summary

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> Iterator[Table]:
        """Yield the table that fits."""
        yield _latencies(self._summary, narrow=options.max_width < _WIDE)


def _latencies(summary: Summary, *, narrow: bool) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("", no_wrap=True)
    kept = [not (narrow and wide) for wide in _COLUMNS.values()]
    for name in compress(_COLUMNS, kept):
        table.add_column(name, justify="right", no_wrap=True)
    found = summary.latencies
    for name, spread in (
        ("TTFT from due", found.ttft_due),
        ("TTFT from sent", found.ttft),
        ("TPOT", found.tpot),
        ("ITL, all gaps", found.itl),
        ("e2e from due", found.e2e_due),
        ("e2e from sent", found.e2e),
        ("sent late by", summary.lag),
    ):
        write = _late if spread is summary.lag else seconds
        table.add_row(name, *compress(figures(spread, write), kept))
    return table


def _late(value: float | None) -> str:
    return seconds(value if value is None else round(value, _FINEST))


def _load(run: Run, summary: Summary) -> Iterator[Text]:
    tokens, flight = summary.tokens, summary.flight
    done = f"{rate(summary.requests)} requests a second were answered"
    if not is_closed(run.about):
        done = f"{rate(summary.offered)} requests a second were due, {rate(summary.requests)} were"
        done += " answered"
    yield Text(f"{done}, {number(flight.mean)} in flight in the mean and {flight.peak:,} at most")
    cached = f", {percent(tokens.hit_share)} of prompts from a cache" if tokens.cached else ""
    yield Text(
        f"{rate(summary.output_tokens)} output tokens a second, {rate(summary.total_tokens)} with"
        f" prompts ({tokens.prompt:,} + {tokens.output:,} tokens{cached})"
    )
    good = summary.goodput
    if good is not None:
        yield Text(f"goodput: {rate(good.rate)} requests a second ({down(good.share)})")


def _failed(run: Run, summary: Summary) -> Iterator[Text]:
    """Yield each kind of failure with the words of one."""
    for kind, many in summary.counts.failures.items():
        said = next((one.detail for one in run.counted if one.failure == kind and one.detail), "")
        words = f" ({plain(said)})" if said else ""
        yield Text(f"failed: {kind} {many:,} of {summary.counts.asked:,}{words}")
