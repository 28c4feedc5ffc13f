"""The baseline as a table and as plots."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.experiments.baseline_steps import Knee, Step
from headrace.experiments.case import Case
from headrace.experiments.finding import Plot, Series
from headrace.experiments.repeats import whisker
from headrace.experiments.words import number, percent, seconds
from headrace.pages.html import Table

_MS = 1000.0
_MEANINGS = {
    "goodput": "goodput: requests/s that kept the promises",
    "planned": "planned: tokens/s by the plan, and how far off it is",
}


def table(steps: Sequence[Step], knee: Knee | None, case: Case) -> Table:
    """Return a row for each number of clients; columns that nobody can fill are left out."""
    columns: dict[str, Sequence[str]] = {
        "clients": [str(step.clients) for step in steps],
        "tokens/s": [number(step.tokens) for step in steps],
        "requests/s": [number(step.requests) for step in steps],
        "TTFT p50 / p95": [_pair(step, "ttft") for step in steps],
        "TPOT p50 / p95": [_pair(step, "tpot") for step in steps],
        "goodput": [number(step.mean("goodput")) for step in steps],
        "planned": [_planned(step) for step in steps],
        "": [_remark(step, knee, case) for step in steps],
    }
    kept = {name: cells for name, cells in columns.items() if set(cells) - {"-", ""}}
    caption = "; ".join(
        [
            "rates while all clients were busy",
            *(_MEANINGS[name] for name in kept if name in _MEANINGS),
        ]
    )
    words = tuple(place for place, name in enumerate(kept) if not name)
    return Table(tuple(kept), tuple(zip(*kept.values(), strict=True)), words, caption)


def _pair(step: Step, name: str) -> str:
    p50, p95 = (step.mean(f"{name}_{which}") for which in ("p50", "p95"))
    if p50 is None or p95 is None or (p50 < 1) != (p95 < 1):
        return f"{seconds(p50)} / {seconds(p95)}"
    return f"{seconds(p50).split()[0]} / {seconds(p95)}"


def _planned(step: Step) -> str:
    if step.predicted is None:
        return "-"
    return f"{number(step.predicted.output_tokens)} ({percent(off(step), signed=True)})"


def off(step: Step) -> float | None:
    """Return how far off the plan is in throughput: +0.2 is a fifth more than measured."""
    if step.predicted is None or step.tokens <= 0:
        return None
    return step.predicted.output_tokens / step.tokens - 1


def _remark(step: Step, knee: Knee | None, case: Case) -> str:
    if knee is not None and knee.bound != "open" and step.clients == knee.step.clients:
        return "the knee"
    return "" if step.keeps(case) else "promise broken"


def plots(steps: Sequence[Step], knee: Knee | None, case: Case) -> tuple[Plot, ...]:
    """Return throughput and latencies over the number of clients."""
    clients = tuple(float(step.clients) for step in steps)
    marks = ((float(knee.step.clients), "knee"),) if knee and knee.bound != "open" else ()
    guesses = tuple(step.predicted.output_tokens if step.predicted else None for step in steps)
    measured = Series(
        "measured",
        clients,
        tuple(step.tokens for step in steps),
        tuple(whisker(step.values) for step in steps),
    )
    planned = (Series("planned", clients, guesses),) if any(guesses) else ()
    return (
        Plot(
            heading="Throughput",
            reading="Where the line bends, the engine is full: more clients only wait longer.",
            x="clients at once",
            y="output tokens/s",
            series=(measured, *planned),
            marks=marks,
        ),
        _latency("TTFT", "Time to first token", case.ttft, steps, marks),
        _latency("TPOT", "Time per output token", case.tpot, steps, marks),
    )


def _latency(
    name: str,
    heading: str,
    promised: float | None,
    steps: Sequence[Step],
    marks: tuple[tuple[float, str], ...],
) -> Plot:
    clients = tuple(float(step.clients) for step in steps)
    series = tuple(
        Series(shown, clients, tuple(_ms(step.mean(f"{name.lower()}_{shown}")) for step in steps))
        for shown in ("p50", "p95")
    )
    return Plot(
        heading=heading,
        reading=f"{name} of whole answers, from when a request was due.",
        x="clients at once",
        y=f"{name}, ms",
        series=series,
        marks=marks,
        levels=((promised * _MS, f"promised {seconds(promised)}"),) if promised else (),
    )


def _ms(value: float | None) -> float | None:
    return None if value is None else value * _MS
