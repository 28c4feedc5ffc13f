"""A choice for programs: `headrace choose --json`. Times in seconds, money as the prices are."""

from __future__ import annotations

import msgspec

from headrace.capacity.choose import Choice, Ranked
from headrace.capacity.options import Miss, Option


class Row(msgspec.Struct, frozen=True):
    """A configuration that keeps the promise; `error` is the share by which times may be off."""

    configuration: str
    accelerator: str
    scheme: str
    tensor_parallel: int
    pipeline_parallel: int
    replicas: int
    accelerators: int
    hour: float
    thousand_requests: float
    million_tokens: float
    ttft_p95: float
    tpot_p95: float
    capacity: float
    error: float
    label: str
    sure_to_start: bool
    needs_evidence: bool
    gives_up: str = ""


class Other(msgspec.Struct, frozen=True):
    """A configuration that will not do, and why."""

    configuration: str
    why: str


class Report(msgspec.Struct, frozen=True):
    """All that was weighed, in order; `beaten` cost more than a layout about as fast."""

    kept: tuple[Row, ...]
    beaten: tuple[Row, ...]
    missed: tuple[Other, ...]
    unfit: tuple[Other, ...]
    advice: tuple[str, ...]


def report(choice: Choice) -> Report:
    """Return all of a choice."""
    return Report(
        kept=tuple(_ranked(one) for one in choice.kept),
        beaten=tuple(_row(one) for one in choice.beaten),
        missed=tuple(_missed(one) for one in choice.missed),
        unfit=tuple(Other(f"{one.accelerator} {one.scheme}", one.why) for one in choice.unfit),
        advice=choice.advice,
    )


def _ranked(ranked: Ranked) -> Row:
    return _row(ranked.option, ranked.gives_up)


def _missed(one: Miss) -> Other:
    return Other(one.name, one.why)


def _row(option: Option, gives_up: str = "") -> Row:
    setup, state, cost = option.setup, option.state, option.cost
    return Row(
        configuration=option.name,
        accelerator=setup.accelerator.name,
        scheme=setup.weights.scheme,
        tensor_parallel=setup.layout.tensor,
        pipeline_parallel=setup.layout.pipeline,
        replicas=option.replicas,
        accelerators=option.accelerators,
        hour=cost.hour,
        thousand_requests=cost.thousand_requests,
        million_tokens=cost.million_tokens,
        ttft_p95=state.ttft_p95,
        tpot_p95=state.tpot_p95,
        capacity=option.capacity,
        error=option.efficiency.error,
        label=option.efficiency.label,
        sure_to_start=option.fit.sure,
        needs_evidence=option.needs_evidence,
        gives_up=gives_up,
    )
