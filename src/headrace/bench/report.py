"""A run as a page for a browser: what it says first, then why it can be trusted, then the plots.

Everything is in one file without scripts (`pages/html.py`). Plots draw at most some thousand
points, whatever the run had; where they leave out any, they say so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from headrace.bench import report_sections as sections
from headrace.bench import report_tables as tables
from headrace.bench.answers import Answer
from headrace.bench.doubt import Doubt, Severity
from headrace.bench.judged import Judged
from headrace.bench.run import Run
from headrace.bench.summary import Summary
from headrace.bench.verdict import headline, outcome, times, verdict
from headrace.bench.words import percent, seconds
from headrace.diagnosis.finding import Diagnosis
from headrace.diagnosis.words import count
from headrace.pages.html import Section, Table, page

_STORIES = (
    "The same load by three clocks. A TTFT that is long at the client and short at the engine was"
    " lost in between: in the gateway's queue where its waits say so, else on the network or in"
    " the client."
)


def html(found: Judged) -> str:
    """Return the whole document."""
    run, summary, doubts, diagnosis = found
    answers = run.by_due
    good = [one for one in answers if one.failure is None]
    parts = [
        *_verdict(run, summary, doubts),
        *_fault(diagnosis, run, summary),
        *sections.latency(run, summary, good),
        *sections.course(run, summary, answers),
        *sections.between_tokens(good),
        *_parts(summary),
        *_failures(answers),
        *_stories(summary),
        Section("How to repeat it", tables=(tables.repeat(run),)),
    ]
    lead = f"{run.about.address}, began {run.about.began or 'at an unknown time'}"
    return page(headline(run, summary), parts, lead)


def _verdict(run: Run, summary: Summary, doubts: Sequence[Doubt]) -> Iterator[Section]:
    """Yield what it says; if it is worth nothing, that before all else."""
    bad = [one for one in doubts if one.severity is Severity.WORTHLESS]
    rest = [one for one in doubts if one not in bad]
    if bad:
        yield Section("This run is worthless", tuple(map(str, bad)))
    said = (outcome(run, summary), *([] if doubts else [_sound(summary)]))
    yield Section("Was the promise kept?", said, tables=_doubts(rest, bad))


def _sound(summary: Summary) -> str:
    """Say why a run without doubts can be trusted."""
    client = summary.own.client
    busy = client and client.cpu and f", taking {percent(client.cpu.mean)} of a core"
    return (
        f"Nothing speaks against the figures: {count(summary.counts.whole, 'answer')} and"
        f" {count(summary.counts.failed, 'failure')}, the client sent 99 of 100 requests within"
        f" {seconds(summary.lag.p99)} of their time{busy or ''}, and what engine and gateway say"
        " agrees with what it saw."
    )


def _doubts(rest: Sequence[Doubt], bad: Sequence[Doubt]) -> tuple[Table, ...]:
    if not rest:
        return ()
    rows = tuple((str(one.severity), one.sentence, one.remedy) for one in rest)
    name = "Other doubts" if bad else "Before you trust it"
    return (Table((name, "because", "what to do"), rows, words=(0, 1, 2)),)


def _fault(found: Diagnosis, run: Run, summary: Summary) -> Iterator[Section]:
    said = [verdict(found, run, summary)]
    for one in found.findings:
        said.append(f"{str(one.cause).capitalize()} ({one.part}): {'; '.join(one.figures)}.")
        said.append(f"{one.advice} Next: {one.experiment}")
    where = times(found)
    whole = sum(where.values())
    rows = tuple((name, seconds(value), percent(value / whole)) for name, value in where.items())
    said += [f"Not seen: {one.what}; {one.remedy}." for one in found.missing]
    shown = []
    if rows:
        shown.append(Table(("where a mean answer's time went", "time", "share"), rows))
    yield Section("Admission, generation or life cycle?", tuple(said), tables=tuple(shown))


def _parts(summary: Summary) -> Iterator[Section]:
    """Yield a table by shape and by replica, where there is more than one."""
    for heading, what, found in (
        ("By shape", "shape", summary.shapes),
        ("By replica", "replica", summary.replicas),
    ):
        if len(found) > 1:
            yield Section(heading, tables=(tables.parts(found, what),))


def _failures(answers: Sequence[Answer]) -> Iterator[Section]:
    found = tables.failures(answers)
    if found.rows:
        said = f"At most {tables.EXAMPLES} of each kind; requests.jsonl has all."
        yield Section("What failed", (said,), tables=(found,))


def _stories(summary: Summary) -> Iterator[Section]:
    shown = [tables.stories(summary)]
    if summary.own.engines:
        shown.append(tables.engines(summary.own.engines))
    yield Section("Client, gateway and engine", (_STORIES,), tables=tuple(shown))
