"""The page of `headrace plan --html` and `choose --html`: a plan's figures with their plots.

Sections are made in `sections.py`, plots in `plots.py` and `choice_plots.py`; here they get an
order, and the words of the terminal's pages.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from headrace.capacity.choose import Choice
from headrace.capacity.cost_curve import curve
from headrace.capacity.options import Ask
from headrace.pages.html import Section, Table, page
from headrace.planning import sections
from headrace.planning.explain import flags
from headrace.planning.measured import COLUMNS, measured
from headrace.planning.plan import Plan
from headrace.planning.report import notes


def plans(title: str, made: Sequence[Plan]) -> str:
    """Return a page about plans, in their order."""
    return page(f"Plan of {title}", [part for plan in made for part in _plan(plan)])


def choice(name: str, ask: Ask, found: Choice) -> str:
    """Return a page about a choice."""
    lead = (
        f"{ask.rate:g} requests a second of {ask.lengths.prompt:,.0f} + {ask.lengths.output:,.0f}"
        f" tokens on average, max_model_len {ask.max_model_len:,}; {ask.slo}."
    )
    return page(f"Where to run {name}", sections.cost_latency(found, ask.slo, level=2), lead)


def _plan(plan: Plan) -> Iterator[Section]:
    subject, setup = plan.subject, plan.subject.setup
    where = f"{setup.layout.accelerators} x {setup.accelerator.name}, {setup.layout}"
    said = tuple(f"Note: {note}." for note in notes(plan))
    yield Section(f"{plan.name}: {subject.deployment.model} on {where}", (plan.fit.why, *said))
    yield Section("Flags, and why", tables=(_flags(plan),), level=3)
    for one in measured(plan):
        table = Table(COLUMNS, one.rows)
        yield Section("Measured beside planned", (f"{one.title}.",), tables=(table,), level=3)
    yield sections.memory(plan.fit.tightest)
    yield sections.concurrency(plan.contexts, setup.max_model_len)
    yield sections.slots(plan.waste)
    if plan.capacity:
        single = plan.batching[0] if plan.batching else None
        points = curve(plan.steady, plan.lengths, plan.hourly)
        yield sections.cost_rate(
            points, subject.slo, plan.efficiency, rate=_each(plan), single=single
        )


def _each(plan: Plan) -> float | None:
    """Return the rate of one replica."""
    return plan.state.rate if plan.replicas is not None and plan.state is not None else None


def _flags(plan: Plan) -> Table:
    rows = tuple((one.name, one.written, one.whose, one.why, one.rests) for one in flags(plan))
    return Table(("flag", "value", "whose", "why", "measured"), rows, words=(0, 1, 2, 3, 4))
