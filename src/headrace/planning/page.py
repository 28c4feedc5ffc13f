"""A plan for people, in a terminal: what fits, how fast, how many, at what cost, on whose word.

`report.py` has the same for programs, `html.py` with plots.
"""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from headrace.capacity.cost import Cost
from headrace.capacity.memory import Budget, Part
from headrace.capacity.steady import State
from headrace.capacity.words import gigabytes, span
from headrace.planning.calibrations import titled
from headrace.planning.explain import flags, no_replicas
from headrace.planning.measured import COLUMNS, Measured, measured
from headrace.planning.plan import ALMOST, Plan
from headrace.planning.report import notes
from headrace.traffic.lengths import Lengths, summarise

_FEW_PARTS = 50_000_000
"""Bytes below which a part of memory is not worth a line of its own."""


def page(plan: Plan) -> Group:
    """Return one deployment's plan to print."""
    parts: list[RenderableType] = [Text(_headline(plan), style="bold"), Text(plan.fit.why)]
    tables: tuple[tuple[str, RenderableType], ...] = (
        ("flags", _flags(plan)),
        (f"memory of one of {plan.subject.setup.layout.accelerators}", _memory(plan)),
        (_requests_title(plan), _requests(plan)),
        (f"speed of one replica, {plan.efficiency.label}", _speed(plan)),
        *((one.title, _measured(one)) for one in measured(plan)),
        ("replicas and money", _money(plan)),
    )
    for title, table in tables:
        parts += [Text(f"\n{title}", style="bold"), table]
    said = (f"prices: {plan.subject.place.price_basis}", *notes(plan))
    parts += [Text(f"note: {note}", style="dim") for note in said]
    return Group(*parts)


def _headline(plan: Plan) -> str:
    subject, setup = plan.subject, plan.subject.setup
    count, name = setup.layout.accelerators, setup.accelerator.name
    shared = setup.accelerator.kind == "cpu" and count > 1
    where = f"{count} ranks of {name}" if shared else f"{count} x {name}"
    return (
        f"{plan.name}: {subject.deployment.model}, {setup.weights.scheme},"
        f" {gigabytes(setup.weights.total)} on {where}, {setup.layout}, {titled(subject.engine)}"
    )


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, show_header=bool(columns), padding=(0, 1, 0, 0))
    for column in columns:
        table.add_column(column)
    return table


def _flags(plan: Plan) -> Group:
    lines: list[RenderableType] = []
    for flag in flags(plan):
        said = (f"{flag.name}  ", (flag.written, "bold"), (f"  {flag.whose}", "dim"))
        lines.append(Text.assemble(*said))
        lines.append(Padding(Text(flag.brief, style="dim"), (0, 0, 0, 4)))
        if flag.evidence:
            lines.append(Padding(Text(flag.rests), (0, 0, 0, 4)))
    return Group(*lines)


def _memory(plan: Plan) -> Table:
    budget, table = plan.fit.tightest, _table()
    small = [part for part in budget.parts if part.bytes < _FEW_PARTS]
    for part in budget.parts:
        if part not in small:
            table.add_row(part.name, gigabytes(part.bytes), _range(part), part.basis)
    if small:
        names = ", ".join(part.name for part in small)
        table.add_row("others", gigabytes(sum(part.bytes for part in small)), "", names)
    table.add_row("KV cache", gigabytes(budget.kv), _kv_range(budget), _kv_words(plan))
    return table


def _range(part: Part) -> str:
    return "exact" if part.exact else f"{part.low / 1e9:,.1f} to {part.high / 1e9:,.1f}"


def _kv_range(budget: Budget) -> str:
    if budget.fixed is not None:
        return "exact"
    return f"{budget.kv_low / 1e9:,.1f} to {budget.kv_high / 1e9:,.1f}"


def _kv_words(plan: Plan) -> str:
    cache = plan.fit.cache
    return (
        f"{cache.blocks:,} blocks, {cache.tokens:,} tokens, {cache.concurrency():.2f} requests of"
        f" {cache.max_model_len:,}"
    )


def _requests_title(plan: Plan) -> str:
    rate = plan.subject.rate
    how_many = "at an unknown rate" if rate is None else f"{rate:.3g} a second"
    return f"requests, {how_many} ({plan.subject.traffic.source})"


def _requests(plan: Plan) -> Table:
    summary, table = summarise(plan.subject.traffic), _table("tokens", "p50", "p90", "p99", "max")
    for name, found in (("prompt", summary.prompt), ("answer", summary.output)):
        table.add_row(name, *_quantiles(found))
    table.add_row("together", *_quantiles(summary.total))
    waste = plan.waste
    table.add_row(
        f"wasted if {waste.max_model_len:,} are reserved for each", f"{waste.static.wasted:.1%}"
    )
    table.add_row(f"wasted with pages of {waste.block}", f"{waste.paged.wasted:.1%}")
    table.add_row("refused as too long", f"{waste.refused:.2%}")
    return table


def _quantiles(found: Lengths) -> Iterator[str]:
    for value in (found.p50, found.p90, found.p99, found.longest):
        yield f"{value:,}"


def _speed(plan: Plan) -> Table:
    table = _table("", "req/s", "TTFT", "TTFT p95", "TPOT", "TPOT p95", "tokens/s")
    if plan.lone is not None:
        table.add_row("alone", "", *_times(plan, plan.lone, 1 / plan.lone.tpot))
    if plan.state is not None and plan.state is not plan.lone:
        table.add_row("as planned", f"{plan.state.rate:.3g}", *_served(plan, plan.state))
    full = plan.steady.at(plan.capacity * ALMOST) if plan.capacity else None
    if full is not None:
        table.add_row("at most", f"{plan.capacity:.3g}", *_served(plan, full))
    table.add_row("SLO", "", "", span(plan.subject.slo.ttft), "", span(plan.subject.slo.tpot))
    return table


def _served(plan: Plan, state: State) -> Iterator[str]:
    return _times(plan, state, state.tokens_per_second)


def _times(plan: Plan, state: State, tokens_per_second: float) -> Iterator[str]:
    error = plan.efficiency.error
    for value in (state.ttft, state.ttft_p95, state.tpot, state.tpot_p95):
        yield _between(value * (1 - error), value * (1 + error))
    yield f"{tokens_per_second:,.0f}"


def _between(low: float, high: float) -> str:
    """Write a range of seconds in the unit of its upper end: `155-289 ms`."""
    factor, unit = (1, "s") if high >= 1 else (1000, "ms")
    return f"{low * factor:.3g}-{high * factor:.3g} {unit}"


def _measured(one: Measured) -> Table:
    table = _table(*COLUMNS)
    for row in one.rows:
        table.add_row(*row)
    return table


def _money(plan: Plan) -> RenderableType:
    if plan.replicas is None and plan.batching is None:
        return Text(no_replicas(plan))
    table = _table("", "an hour", "1,000 requests", "1M tokens", "1M answered")
    if plan.replicas is not None:
        found = plan.replicas
        scaled = f"{found.floor} to {found.most}" if found.floor < found.most else f"{found.most}"
        table.add_row(f"replicas: {scaled}", *_cost(plan.cost))
    for name, cost in plan.by_route.items():
        table.add_row(f"  route {name}", *_cost(cost))
    if plan.batching is not None:
        single, full = plan.batching
        table.add_row("one replica, one at a time", *_cost(single))
        table.add_row("one replica, batched", *_cost(full))
    if plan.gain is not None:
        table.add_row("  from software alone", "", f"{plan.gain:.1f} times as many")
    return table


def _cost(cost: Cost | None) -> Iterator[str]:
    """Yield the figures of a cost; nothing where no price is known."""
    if cost is not None and cost.hour:
        yield f"{cost.hour:,.2f}"
        yield f"{cost.thousand_requests:.4g}"
        yield f"{cost.million_tokens:.3g}"
        yield f"{cost.million_answer:.3g}"
