"""From the options of `headrace bench` to a load and a workload, with what nobody said filled in.

Options say it, else the route's `traffic` in the fleet file, else small defaults.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import typer

from headrace.bench.load import Load
from headrace.bench.workload_order import Length, Misfit, Shape, WorkloadOrder
from headrace.bench.workload_words import parse_prefix, parse_sessions, parse_shapes
from headrace.cli.bench_options import SLO, Words
from headrace.fleet.units import parse_duration
from headrace.traffic.arrival_words import parse_arrivals
from headrace.traffic.arrivals import Arrivals, Constant, Gamma, Poisson, Replay
from headrace.traffic.errors import TrafficError

if TYPE_CHECKING:
    from headrace.fleet.routes import Traffic

_CLIENTS, _REQUESTS, _SECONDS = 4, 64, 60.0
_FASTEST = 250.0
"""Tokens a second of one stream; a closed loop for a time needs requests for all of it."""
_SHAPE = Shape("128:64", Length(128, 128), Length(64, 64))
_PROMISES = ("ttft", "tpot", "e2e")


@dataclass(frozen=True)
class Plan:
    """What is sent, and how; `slo` None where the options say nothing."""

    load: Load
    order: WorkloadOrder
    slo: dict[str, float] | None


def read_words(words: Words) -> Plan:
    """Return what the options say; BadParameter says which is wrong."""
    if words.arrivals and words.concurrency:
        raise typer.BadParameter("--arrivals is an open loop and --concurrency a closed one")
    return Plan(_load(words), _order(words), None if words.slo is None else _slo(words.slo))


def filled(plan: Plan, traffic: Traffic | None, context: int | None) -> Plan:
    """Return the plan with what the route and the deployment say where the options do not."""
    order, load = plan.order, plan.load
    if not (order.shapes or order.file or order.trace):
        order = msgspec.structs.replace(order, shapes=(_declared(traffic) or _SHAPE,))
    if order.arrivals is None and load.concurrency is None:
        arrivals = _expected(order, traffic)
        order = msgspec.structs.replace(order, arrivals=arrivals)
        load = msgspec.structs.replace(load, concurrency=None if arrivals else _CLIENTS)
    order = msgspec.structs.replace(order, context=order.context or context)
    return Plan(*_bounded(load, order), plan.slo)


def _bounded(load: Load, order: WorkloadOrder) -> tuple[Load, WorkloadOrder]:
    """Say how many requests, or for how long, where nobody did.

    A closed loop for a time has to have requests enough for it, and ends by the clock.
    """
    closed = load.concurrency is not None
    if closed and order.duration is not None:
        load = msgspec.structs.replace(load, seconds=order.duration)
        count = order.count or _enough(order, order.duration * (load.concurrency or 1))
        return load, msgspec.structs.replace(order, duration=None, count=count)
    if order.count is not None or order.duration is not None or order.file:
        return load, order
    if closed:
        return load, msgspec.structs.replace(order, count=_REQUESTS)
    if isinstance(order.arrivals, Constant | Poisson | Gamma):  # others have an end
        return load, msgspec.structs.replace(order, duration=_SECONDS)
    return load, order


def _enough(order: WorkloadOrder, client_seconds: float) -> int | None:
    """Return how many requests fast streams get through; None where a file or trace tells."""
    if not order.shapes:
        return None
    weight = sum(shape.weight for shape in order.shapes)
    tokens = sum(shape.weight * shape.output.p50 for shape in order.shapes) / weight
    return int(client_seconds * _FASTEST / tokens) + _REQUESTS


def _expected(order: WorkloadOrder, traffic: Traffic | None) -> Arrivals | None:
    if order.trace:
        return Replay()
    return Poisson(traffic.rate) if traffic is not None and traffic.rate else None


def _declared(traffic: Traffic | None) -> Shape | None:
    if traffic is None or traffic.prompt is None or traffic.output is None:
        return None
    prompt, output = traffic.prompt, traffic.output
    return Shape("declared", Length(prompt.p50, prompt.p99), Length(output.p50, output.p99))


def _load(words: Words) -> Load:
    return Load(
        concurrency=words.concurrency,
        patience=_seconds(words.patience, "--patience"),
        most_in_flight=words.most_in_flight,
        workers=words.workers or "auto",
        exact_length=not words.own_length,
        keep_texts=words.texts,
        reuse=not words.fresh,
        **_warmup(words.warmup),
    )


def _order(words: Words) -> WorkloadOrder:
    try:
        return WorkloadOrder(
            shapes=parse_shapes(words.shape or []),
            file=None if words.file is None else str(words.file),
            trace=None if words.trace is None else str(words.trace),
            arrivals=_arrivals(words),
            count=words.count,
            duration=None if words.duration is None else _seconds(words.duration, "--duration"),
            seed=words.seed,
            chat=not words.completions,
            sessions=None if words.sessions is None else parse_sessions(words.sessions),
            prefix=None if words.prefix is None else parse_prefix(words.prefix),
            context=words.context,
            misfit=Misfit.CLIP if words.clip else Misfit.LEAVE_OUT,
            shrink=words.shrink,
        )
    except TrafficError as error:
        raise typer.BadParameter(str(error)) from None


def _arrivals(words: Words) -> Arrivals | None:
    if words.trace is not None and words.concurrency is None:
        return parse_arrivals(words.arrivals or "replay", words.time_scale)
    return parse_arrivals(words.arrivals, words.time_scale) if words.arrivals else None


def _slo(text: str) -> dict[str, float]:
    promises = {}
    for word in filter(None, text.split(",")):
        name, sign, length = (part.strip() for part in word.partition("="))
        if name not in _PROMISES or not sign:
            raise typer.BadParameter(f"{word}: promises are {', '.join(_PROMISES)}, {SLO}")
        promises[name] = _seconds(length, "--slo")
    return promises


def _warmup(text: str) -> dict[str, Any]:
    """Return a warm-up as `Load` has it: `20` requests, or `10s`."""
    if text.strip().isdigit():
        return {"warmup": int(text)}
    return {"warmup_seconds": _seconds(text, "--warmup")}


def _seconds(text: str, option: str) -> float:
    try:
        seconds = parse_duration(text.strip())
    except ValueError as error:
        raise typer.BadParameter(f"{text}: {error}", param_hint=option) from None
    if seconds <= 0:
        raise typer.BadParameter(f"{text}: more than nothing", param_hint=option)
    return seconds
