"""The baseline as a table and as plots."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.experiments.baseline_steps import Knee, Step
from headrace.experiments.case import Case
from headrace.experiments.finding import Plot, Series
from headrace.experiments.words import number, percent, seconds
from headrace.pages.html import Table

_MS = 1000.0


def table(steps: Sequence[Step], knee: Knee | None, case: Case) -> Table:
    """Return a row for each number of clients."""
    head = (
        "clients", "tokens/s", "requests/s", "TTFT p50", "TTFT p95", "TPOT p50", "TPOT p95",
        "goodput", "plan: tokens/s", "plan is off by", "",
    )  # fmt: skip
    rows = tuple(_row(step, knee, case) for step in steps)
    caption = "goodput: requests/s that kept the promises; rates while all clients were busy"
    return Table(head, rows, words=(10,), caption=caption)


def off(step: Step) -> float | None:
    """Return how far off the plan is in throughput: +0.2 is a fifth more than measured."""
    if step.predicted is None or step.tokens <= 0:
        return None
    return step.predicted.output_tokens / step.tokens - 1


def _row(step: Step, knee: Knee | None, case: Case) -> tuple[str, ...]:
    return (
        str(step.clients),
        number(step.tokens),
        number(step.requests),
        seconds(step.mean("ttft_p50")),
        seconds(step.mean("ttft_p95")),
        seconds(step.mean("tpot_p50")),
        seconds(step.mean("tpot_p95")),
        number(step.mean("goodput")),
        number(step.predicted.output_tokens if step.predicted else None),
        percent(off(step), signed=True),
        _remark(step, knee, case),
    )


def _remark(step: Step, knee: Knee | None, case: Case) -> str:
    if knee is not None and step.clients == knee.step.clients:
        return "the knee"
    return "" if step.keeps(case) else "promise broken"


def plots(steps: Sequence[Step], knee: Knee | None, case: Case) -> tuple[Plot, ...]:
    """Return throughput and latencies over the number of clients."""
    clients = tuple(float(step.clients) for step in steps)
    marks = ((float(knee.step.clients), "knee"),) if knee else ()
    guesses = tuple(step.predicted.output_tokens if step.predicted else None for step in steps)
    measured = Series(
        "measured", clients, tuple(step.tokens for step in steps), tuple(map(_spread, steps))
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


def _spread(step: Step) -> float:
    return (max(step.values) - min(step.values)) / 2


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
