"""The sections of a page about plans and choices: how to read a plot, the plot, its figures.

Each takes what `capacity` computed; who writes a page puts them in order and adds its own.
"""

from __future__ import annotations

from collections.abc import Sequence

from headrace.capacity.choose import Choice
from headrace.capacity.cost import Cost
from headrace.capacity.cost_curve import Point
from headrace.capacity.efficiency import Efficiency
from headrace.capacity.memory import Budget
from headrace.capacity.slo import Slo
from headrace.capacity.waste import Context, Waste
from headrace.pages.html import Section
from headrace.planning import choice_plots, plots, tables


def memory(budget: Budget, name: str = "", level: int = 3) -> Section:
    """Show what a rank's memory is used for; `name` says whose."""
    cache = (
        "What the engine may use and nothing else takes becomes the KV cache, so its range is that"
        " of all others together."
        if budget.fixed is None
        else "The KV cache is as large as the file says; the engine does not look whether it fits."
    )
    return Section(
        f"Memory by part{name and ', '}{name}",
        (
            (
                "One accelerator of a replica. Each part begins where the one above ends; the black"
                f" ranges are how far an assumption may be off. {cache}"
            ),
        ),
        plots.memory(budget),
        (tables.memory(budget),),
        level,
    )


def concurrency(contexts: Sequence[Context], chosen: int | None = None, level: int = 3) -> Section:
    """Show what a longer or shorter max_model_len would mean; `chosen` is the plan's."""
    return Section(
        "Concurrency against context",
        (
            (
                "How many requests the KV cache of one replica holds at once, for each limit on"
                " their length: requests of full length, which is also all that an engine without"
                " pages holds, and the traffic's own, which is what one with pages holds."
            ),
            "A lower limit refuses the share of requests that are longer.",
        ),
        plots.concurrency(contexts, chosen),
        (tables.concurrency(contexts),),
        level,
    )


def slots(waste: Waste, level: int = 3) -> Section:
    """Show what paging saves for the traffic's own lengths."""
    refused = (
        (f"{waste.refused:.2%} of requests are longer than the limit and not counted.",)
        if waste.refused
        else ()
    )
    return Section(
        "Static against paged",
        (
            (
                "Slots of the KV cache, of one token each: an engine that reserves max_model_len"
                " for every request, and one that takes a block when the last is full. All"
                " requests of the traffic, when each has all of its tokens and added up over the"
                " steps of its life."
            ),
            *refused,
        ),
        plots.slots(waste),
        (tables.slots(waste),),
        level,
    )


def cost_latency(choice: Choice, slo: Slo, currency: str = "", level: int = 3) -> list[Section]:
    """Show the ranked options: cost against TPOT and against TTFT, figures, and what will not do.

    Without an option that keeps the SLO only the reasons are left.
    """
    how = (
        "Cheaper is lower and faster is further to the left. Numbers are places in the ranking,"
        " colours accelerators; options on the grey line are those that nothing beats in both."
        " Bars are the error to expect of the estimate: one that crosses the SLO may miss it."
    )
    rest = [
        Section(heading, (), "", (table,), level)
        for heading, table in (
            ("What misses the SLO", tables.missed(choice)),
            ("What cannot be started", tables.unfit(choice)),
        )
        if table.rows
    ]
    if not choice.kept:
        return [Section("Nothing keeps the SLO", choice.advice, level=level), *rest]
    return [
        Section(
            "Cost against time per token",
            (how, f"The SLO: {slo}; {slo.why}."),
            choice_plots.cost_latency(choice, slo, "tpot", currency),
            level=level,
        ),
        Section(
            "Cost against time to first token",
            choice.advice,
            choice_plots.cost_latency(choice, slo, "ttft", currency),
            (tables.options(choice, currency), tables.gives_up(choice)),
            level,
        ),
        *rest,
    ]


def cost_rate(
    points: Sequence[Point],
    slo: Slo,
    efficiency: Efficiency,
    *,
    rate: float | None = None,
    single: Cost | None = None,
    currency: str = "",
    level: int = 3,
) -> Section:
    """Show what batching does to cost and times; arguments as those of the plot."""
    compared = []
    if single is not None:
        price = choice_plots.digits(single.thousand_requests)
        compared.append(f"One request at a time would cost {price} per 1,000 requests.")
    return Section(
        "Cost and latency against rate",
        (
            (
                "One replica costs the same whatever it does, so each further request makes all of"
                " them cheaper and a little slower, until it is full. Bands are the error to"
                f" expect: {efficiency.label}."
            ),
            *compared,
        ),
        choice_plots.cost_rate(
            points, slo, efficiency, rate=rate, single=single, currency=currency
        ),
        (tables.cost_rate(points, currency),),
        level,
    )
