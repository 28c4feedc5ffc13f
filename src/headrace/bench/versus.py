"""Two runs side by side: each figure before and after, and whether chance could have made that.

Percentiles are compared by `evidence/difference.py`, from the answers themselves. Rates and counts
are one value of each run: of their chance only repeated runs tell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from headrace.bench.answers import Answer, Failure
from headrace.bench.doubt import Severity
from headrace.bench.goodput import keeps
from headrace.bench.run import About, Run
from headrace.bench.summary import Summary, summarise
from headrace.bench.validity import judge
from headrace.bench.verdict import settings
from headrace.bench.words import rate, seconds
from headrace.evidence.difference import Difference, difference, mean, percentile

_LATENCIES = (
    ("TTFT", "ttft_due", (50, 95)),
    ("TPOT", "tpot", (50, 95)),
    ("end to end", "e2e_due", (50, 95)),
)
"""By when a request was due, as its users waited."""
_CHANCE = "seed"
"""What may differ between two runs of one workload."""
_HOW = ("load.workers", "load.sample_every", "load.keep_texts")
"""Settings of the client that change neither what is sent nor when."""


class IncomparableError(ValueError):
    """Two runs had other requests to answer; the message says which settings differ."""


class Row(msgspec.Struct, frozen=True):
    """A figure of both runs; `words` says it, with its unit."""

    name: str
    difference: Difference
    words: str


class Comparison(msgspec.Struct, frozen=True):
    """Two runs by their names, what differed in what was asked, and each figure.

    `doubts` are those of either run that make it worthless.
    """

    before: str
    after: str
    unlike: tuple[str, ...]
    rows: tuple[Row, ...]
    doubts: tuple[str, ...]

    @property
    def sentences(self) -> tuple[str, ...]:
        """What is sure to differ; if nothing is, that."""
        sure = tuple(f"{row.name} {row.words}" for row in self.rows if row.difference.real)
        return sure or ("No figure differs by more than chance would make it.",)


def compare(before: Run, after: Run, *, anyway: bool = False) -> Comparison:
    """Compare two runs; IncomparableError if their workloads differ, unless `anyway`."""
    unlike = differing(before.about, after.about)
    if unlike and not anyway:
        raise IncomparableError(
            f"these runs were not asked the same ({'; '.join(unlike)}), so a difference may be the"
            " workload's; measure both with the same settings, or compare anyway"
        )
    runs = before, after
    summaries = summarise(before), summarise(after)
    doubts = tuple(
        f"{run.about.name}: {doubt}"
        for run, summary in zip(runs, summaries, strict=True)
        for doubt in judge(run, summary)
        if doubt.severity is Severity.WORTHLESS
    )
    rows = (*_latencies(before, after), *_rates(*summaries), *_shares(before, after))
    return Comparison(before.about.name, after.about.name, unlike, rows, doubts)


def differing(before: About, after: About) -> tuple[str, ...]:
    """Say in what two runs were asked differently: `workload.arrivals.rate 5 and 8`."""
    old, new = (
        {name: value for name, value in settings(Run(one)).items() if _asked(name)}
        for one in (before, after)
    )
    return tuple(
        f"{name} {old.get(name, 'not set')} and {new.get(name, 'not set')}"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    )


def _asked(name: str) -> bool:
    return (
        name.startswith(("workload.", "load.")) and name not in _HOW and not name.endswith(_CHANCE)
    )


def _latencies(before: Run, after: Run) -> Iterator[Row]:
    for name, field, shares in _LATENCIES:
        old, new = (
            [value for one in _good(run) if (value := getattr(one, field)) is not None]
            for run in (before, after)
        )
        if not old or not new:
            continue
        for share in shares:
            found = difference(old, new, percentile(share))
            yield Row(f"{name} p{share}", found, found.words(seconds))


def _rates(before: Summary, after: Summary) -> Iterator[Row]:
    pairs = (
        ("requests a second", before.requests, after.requests),
        ("output tokens a second", before.output_tokens, after.output_tokens),
    )
    for name, old, new in pairs:
        change = new / old - 1 if old else None
        found = Difference(before=old, after=new, change=change)
        yield Row(name, found, _plainly(found))


def _plainly(found: Difference) -> str:
    """Write a figure that each run has one of."""
    said = f"{rate(found.before)} -> {rate(found.after)}"
    return said if found.change is None else f"{said}, {100 * found.change:+.1f} %"


def _shares(before: Run, after: Run) -> Iterator[Row]:
    """Yield how many requests of a hundred had a whole answer, and kept every promise."""
    flags: list[tuple[str, Callable[[Run, Answer], bool]]] = [
        ("answered whole", lambda _, one: one.failure is None)
    ]
    if before.about.slo and before.about.slo == after.about.slo:
        flags.append(("kept the promise", lambda run, one: keeps(one, run.about.slo)))
    for name, flag in flags:
        old, new = ([float(flag(run, one)) for one in _ended(run)] for run in (before, after))
        if old and new:
            found = difference(old, new, mean)
            yield Row(name, found, found.words(lambda share: f"{100 * share:.1f} %"))


def _ended(run: Run) -> list[Answer]:
    return [one for one in run.by_due if one.failure is not Failure.STOPPED]


def _good(run: Run) -> list[Answer]:
    return [one for one in run.by_due if one.failure is None]
