"""Why each capacity flag of a deployment is what it is: what was chosen, and what yours means.

A value that the file gives is not argued with, but what the plan would take for the same requests
is said beside it, and what the difference costs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from headrace.capacity.waste import contexts
from headrace.capacity.words import gigabytes, span
from headrace.planning.flags import Flag, Origin
from headrace.planning.plan import Plan

NAMES = (
    "model", "quantization", "hardware", "tensor_parallel", "pipeline_parallel",
    "gpu_memory_utilization", "kv_cache", "max_model_len", "max_num_seqs",
    "max_num_batched_tokens", "scaling.min", "scaling.max", "scaling.triggers",
)  # fmt: skip
"""What can be asked about."""


def flags(plan: Plan) -> tuple[Flag, ...]:
    """Return all that a plan has an opinion on, in the order of `NAMES`."""
    found = (explain(plan, name) for name in NAMES)
    return tuple(one for one in found if one is not None)


def explain(plan: Plan, name: str) -> Flag | None:
    """Return one flag with its reason; None if it does not apply to this deployment."""
    chosen = next((one for one in plan.chosen if one.name == name), None)
    found = chosen or _EXPLAINED[name](plan)
    rests = plan.grounds.standings.get(name)
    if found is None or rests is None or (found.origin == "default" and rests.evidence is None):
        return found
    return replace(found, rests=str(rests), evidence=rests.evidence.id if rests.evidence else None)


def _origin(plan: Plan, name: str) -> Origin:
    deployment = plan.subject.deployment
    part, _, field = name.partition(".")
    said = deployment.scaling.model_fields_set if field else deployment.model_fields_set
    return "file" if (field or part) in said else "default"


def _model(plan: Plan) -> Flag:
    subject = plan.subject
    parameters = subject.architecture.parameters
    active = (
        f", {parameters.active / 1e9:.1f} of them for each token"
        if subject.architecture.experts
        else ""
    )
    why = (
        f"{subject.architecture.name}, {parameters.total / 1e9:.1f} billion parameters{active}:"
        f" {gigabytes(subject.weights.total)} ({subject.weights.basis})"
    )
    return Flag("model", subject.deployment.model, "file", why)


def _quantization(plan: Plan) -> Flag:
    subject = plan.subject
    asked = subject.deployment.quantization
    why = "as the weights are stored"
    if asked is not None and asked != subject.facts.weights.scheme:
        whole = subject.facts.weights
        why = (
            f"{gigabytes(subject.weights.total)} instead of {gigabytes(whole.total)}"
            f" ({whole.scheme}); it changes the answers, by how much nobody here knows: measure"
            " before users do"
        )
    return Flag("quantization", subject.weights.scheme, _origin(plan, "quantization"), why)


def _hardware(plan: Plan) -> Flag:
    place = plan.subject.place
    accelerator = place.accelerator
    sources = ", ".join(accelerator.sources)
    why = (
        f"{accelerator.name}: {gigabytes(accelerator.memory)},"
        f" {accelerator.bandwidth / 1e9:,.0f} GB/s; {place.price:g} an hour ({place.price_basis})."
        f" Figures from {sources}"
    )
    return Flag("hardware", place.name, "file", why)


def _tensor(plan: Plan) -> Flag:
    layout = plan.subject.setup.layout
    whole = layout.accelerators == 1 and plan.fit.ok
    why = "one accelerator holds the whole model" if whole else plan.fit.why
    return Flag("tensor_parallel", layout.tensor, _origin(plan, "tensor_parallel"), why)


def _pipeline(plan: Plan) -> Flag | None:
    stages = plan.subject.setup.layout.pipeline
    if stages == 1:
        return None
    why = f"a token goes through {stages} stages in turn: more memory, not less time for a token"
    return Flag("pipeline_parallel", stages, _origin(plan, "pipeline_parallel"), why)


def _utilization(plan: Plan) -> Flag | None:
    setup = plan.subject.setup
    if setup.accelerator.kind == "cpu" or setup.kv_bytes is not None:
        return None
    budget = plan.fit.tightest
    why = (
        f"{gigabytes(budget.requested)} of {gigabytes(budget.total)};"
        f" {gigabytes(budget.used)} go to weights and the engine, {gigabytes(budget.kv)}"
        f" ({gigabytes(budget.kv_low)} to {gigabytes(budget.kv_high)}) are left for the KV cache"
    )
    name = "gpu_memory_utilization"
    return Flag(name, setup.gpu_memory_utilization, _origin(plan, name), why)


def _kv_cache(plan: Plan) -> Flag | None:
    size = plan.subject.deployment.kv_cache
    if size is None:
        return None
    cache, seqs = plan.fit.cache, plan.subject.setup.max_num_seqs
    typical = contexts(cache, plan.subject.traffic, plan.subject.setup.max_model_len)[-1].observed
    why = (
        f"{cache.blocks:,} blocks, {cache.tokens:,} tokens: {cache.concurrency():.2f} requests of"
        f" {cache.max_model_len:,} tokens, {typical:.1f} of the usual ones; max_num_seqs is {seqs}"
    )
    return Flag("kv_cache", size, _origin(plan, "kv_cache"), why)


def _length(plan: Plan) -> Flag:
    subject, found = plan.subject, plan.subject.recommended.max_model_len
    mine = subject.setup.max_model_len
    here = contexts(plan.fit.cache, subject.traffic, mine, (mine,))[0]
    why = (
        f"{here.refused:.2%} of the requests are longer and are refused; {here.full:.1f} of full"
        f" length fit at once for certain, {here.observed:.1f} of the usual ones"
    )
    if found.value != mine:
        why += f". For these requests {found.value:,} would do: {found.reason}"
    return Flag("max_model_len", mine, _origin(plan, "max_model_len"), why)


def _seqs(plan: Plan) -> Flag:
    found, mine = plan.subject.recommended.max_num_seqs, plan.subject.setup.max_num_seqs
    crowd = plan.state.crowd if plan.state else 0.0
    when = "at the planned rate" if plan.replicas else "at half of the most that keeps the SLO"
    runs = f"{when} {crowd:.1f} run at once (p95)" if plan.capacity else no_replicas(plan)
    why = f"{runs}. Memory allows {found.value:,}: {found.reason}"
    return Flag("max_num_seqs", mine, _origin(plan, "max_num_seqs"), why)


def _step(plan: Plan) -> Flag:
    found = plan.subject.recommended.max_num_batched_tokens
    mine = plan.subject.setup.max_num_batched_tokens
    why = (
        found.reason
        if found.value == mine
        else f"the plan would take {found.value:,}: {found.reason}"
    )
    return Flag("max_num_batched_tokens", mine, _origin(plan, "max_num_batched_tokens"), why)


def _fewest(plan: Plan) -> Flag:
    mine = plan.subject.deployment.scaling.min
    if plan.replicas is None:
        return Flag("scaling.min", mine, _origin(plan, "scaling.min"), no_replicas(plan))
    why = f"the plan keeps {plan.replicas.floor} warm. {'; '.join(plan.replicas.why)}"
    return Flag("scaling.min", mine, _origin(plan, "scaling.min"), why)


def _most(plan: Plan) -> Flag:
    mine = plan.subject.deployment.scaling.max
    if plan.replicas is None:
        return Flag("scaling.max", mine, _origin(plan, "scaling.max"), no_replicas(plan))
    short = "" if mine >= plan.replicas.most else ": too few, and requests would wait too long"
    why = (
        f"the plan needs {plan.replicas.most} within {plan.subject.slo}, each taking"
        f" {plan.capacity:.3g} requests/s ({plan.efficiency.label}){short}"
    )
    return Flag("scaling.max", mine, _origin(plan, "scaling.max"), why)


def no_replicas(plan: Plan) -> str:
    """Say why a plan has no number of replicas."""
    if plan.capacity <= 0:
        return f"no number of replicas keeps {plan.subject.slo}: {_alone(plan)}"
    why = (f"route {one.route} {one.unknown}" for one in plan.subject.loads if one.unknown)
    return "; ".join(why)


def _alone(plan: Plan) -> str:
    """Say what breaks the SLO with a single request, or that none finds room."""
    lone, slo = plan.lone, plan.subject.slo
    if lone is None:
        return plan.fit.why
    pairs = (("TTFT", lone.ttft_p95, slo.ttft), ("TPOT", lone.tpot_p95, slo.tpot))
    over = [f"{name} p95 {span(value)}" for name, value, bound in pairs if value > bound]
    if over:
        return f"even a request alone has {' and '.join(over)} ({plan.efficiency.label})"
    if plan.steady.max_rate():
        return f"a request alone keeps it, but one beside it breaks it ({plan.efficiency.label})"
    return f"a request alone keeps it, but there is no room for more: {plan.fit.why}"


def _triggers(plan: Plan) -> Flag:
    mine = ", ".join(
        f"{one.signal} {one.target:g}" for one in plan.subject.deployment.scaling.triggers
    )
    found = plan.threshold
    if found is None:
        return Flag("scaling.triggers", mine, _origin(plan, "scaling.triggers"), no_replicas(plan))
    advice = f"{found.signal} {found.target:g}" if found.signal else "none"
    return Flag(
        "scaling.triggers",
        mine,
        _origin(plan, "scaling.triggers"),
        f"the plan would take {advice}: {found.why}",
    )


_EXPLAINED: Mapping[str, Callable[[Plan], Flag | None]] = {
    "model": _model,
    "quantization": _quantization,
    "hardware": _hardware,
    "tensor_parallel": _tensor,
    "pipeline_parallel": _pipeline,
    "gpu_memory_utilization": _utilization,
    "kv_cache": _kv_cache,
    "max_model_len": _length,
    "max_num_seqs": _seqs,
    "max_num_batched_tokens": _step,
    "scaling.min": _fewest,
    "scaling.max": _most,
    "scaling.triggers": _triggers,
}
