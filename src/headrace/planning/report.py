"""A plan for programs: `headrace plan --json`. Sizes in bytes, times in seconds, money as priced.

Each time is an estimate whose label and error stand beside it; `low` and `high` of memory are what
the assumptions leave open.
"""

from __future__ import annotations

import msgspec

from headrace.capacity.cost import Cost
from headrace.capacity.memory import Part
from headrace.capacity.replicas import Replicas
from headrace.capacity.steady import State
from headrace.capacity.threshold import Threshold
from headrace.capacity.waste import Context, Waste
from headrace.planning.explain import flags
from headrace.planning.flags import Flag
from headrace.planning.measured import Measured, measured
from headrace.planning.plan import Plan
from headrace.planning.unplanned import unplanned
from headrace.traffic.lengths import Summary, summarise


class Memory(msgspec.Struct, frozen=True):
    """One rank of a pipeline stage: what it has, may use, and what is left for the KV cache."""

    total: int
    requested: int
    parts: tuple[Part, ...]
    kv: int
    kv_low: int
    kv_high: int


class Cache(msgspec.Struct, frozen=True):
    """The KV cache as vLLM counts it; `concurrency` in requests of max_model_len."""

    blocks: int
    block_bytes: tuple[int, ...]
    tokens: int
    concurrency: float
    groups: int
    padding: int


class Times(msgspec.Struct, frozen=True):
    """What all times rest on, one request alone, and a replica at its share of the rate."""

    label: str
    error: float
    alone: State | None
    planned: State | None
    capacity: float
    """Requests a second of one replica within the SLO."""
    slo_ttft: float
    slo_tpot: float


class Money(msgspec.Struct, frozen=True):
    """What it costs; `basis` says whose price it is."""

    basis: str
    replica_hour: float
    fleet: Cost | None
    routes: dict[str, Cost]
    one_at_a_time: Cost | None
    batched: Cost | None


class Report(msgspec.Struct, frozen=True):
    """The plan of one deployment."""

    deployment: str
    model: str
    scheme: str
    weights: int
    weights_basis: str
    accelerator: str
    tensor_parallel: int
    pipeline_parallel: int
    engine: str
    fits: bool
    sure: bool
    why: str
    flags: tuple[Flag, ...]
    memory: tuple[Memory, ...]
    cache: Cache
    requests: Summary
    rate: float | None
    waste: Waste
    contexts: tuple[Context, ...]
    times: Times
    replicas: Replicas | None
    trigger: Threshold | None
    money: Money
    measured: tuple[Measured, ...]
    """On the same setting, beside the plan for the same requests."""
    notes: tuple[str, ...]


def report(plan: Plan) -> Report:
    """Return all of a plan."""
    subject, fit = plan.subject, plan.fit
    return Report(
        deployment=plan.name,
        model=subject.deployment.model,
        scheme=subject.weights.scheme,
        weights=subject.weights.total,
        weights_basis=subject.weights.basis,
        accelerator=subject.place.accelerator.name,
        tensor_parallel=subject.setup.layout.tensor,
        pipeline_parallel=subject.setup.layout.pipeline,
        engine=f"{subject.deployment.engine.name} {subject.deployment.engine.version}",
        fits=fit.ok,
        sure=fit.sure,
        why=fit.why,
        flags=flags(plan),
        memory=_memory(plan),
        cache=_cache(plan),
        requests=summarise(subject.traffic),
        rate=subject.rate,
        waste=plan.waste,
        contexts=plan.contexts,
        times=_times(plan),
        replicas=plan.replicas,
        trigger=plan.threshold,
        money=_money(plan),
        measured=measured(plan),
        notes=notes(plan),
    )


def notes(plan: Plan) -> tuple[str, ...]:
    """Return what was assumed, left out or not known, a sentence each."""
    subject = plan.subject
    assumed = [f"route {one.route} declares {one.assumed}" for one in subject.loads if one.assumed]
    unknown = [
        f"route {one.route} {one.unknown}, so no replicas and no cost"
        for one in subject.loads
        if one.rate is None
    ]
    engine = subject.deployment.engine.name
    return (
        *([f"planned as vLLM {subject.planned_as}: {engine} is not modelled"] * (engine != "vllm")),
        *unplanned(subject.flags),
        subject.cold_start.label,
        *assumed,
        *unknown,
        *subject.traffic.notes,
        *subject.place.accelerator.notes,
        *plan.grounds.known.damaged,
    )


def _memory(plan: Plan) -> tuple[Memory, ...]:
    return tuple(
        Memory(one.total, one.requested, one.parts, one.kv, one.kv_low, one.kv_high)
        for one in plan.fit.budgets
    )


def _cache(plan: Plan) -> Cache:
    cache = plan.fit.cache
    return Cache(
        cache.blocks,
        cache.layout.block_bytes,
        cache.tokens,
        cache.concurrency(),
        len(cache.layout.groups),
        cache.layout.padding,
    )


def _times(plan: Plan) -> Times:
    efficiency, slo = plan.efficiency, plan.subject.slo
    return Times(
        efficiency.label,
        efficiency.error,
        plan.lone,
        plan.state,
        plan.capacity,
        slo.ttft,
        slo.tpot,
    )


def _money(plan: Plan) -> Money:
    single, full = plan.batching or (None, None)
    return Money(
        plan.subject.place.price_basis, plan.hourly, plan.cost, plan.by_route, single, full
    )
