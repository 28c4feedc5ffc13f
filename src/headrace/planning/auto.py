"""Chooses what a file leaves open with `auto`, and says why.

First the layout (the fewest accelerators that keep the promise), then memory, then lengths,
requests at once and tokens of a step, each from the requests that the routes declare.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from headrace.capacity.fits import Fit
from headrace.capacity.kv import kv_layout
from headrace.capacity.layouts import layouts, refusal
from headrace.capacity.memory import budgets
from headrace.capacity.recommend import Choice, Recommendation
from headrace.capacity.setup import Layout, Setup
from headrace.capacity.waste import observed_concurrency, resident_blocks
from headrace.capacity.words import gigabytes
from headrace.planning.errors import PlanError
from headrace.planning.flags import Flag
from headrace.planning.subject import Subject

CPU_SHARE = 0.9
"""Of this machine's memory, what all replicas together may take."""
CPU_SEQS = 32
"""Requests at once on a CPU: beyond, tokens/s hardly rise (277 at 32, 278 at 64 on two cores)."""
LONGER = frozenset({"hf-overrides", "rope-scaling", "VLLM_ALLOW_LONG_MAX_MODEL_LEN"})
"""Flags and variables with which a model may be asked for more than its context."""
_LENGTHS = ("max_model_len", "max_num_seqs", "max_num_batched_tokens")


def settle(subject: Subject) -> tuple[Subject, tuple[Flag, ...]]:
    """Return the subject with nothing left open, and what was chosen; PlanError if nothing fits."""
    _check(subject)
    chosen: list[Flag] = []
    for step in (_layout, _utilization, _lengths, _kv_cache):
        for flag in step(subject):
            chosen.append(flag)
            if isinstance(flag.value, int | float):
                subject = subject.filled({flag.name: flag.value})
    if chosen and not subject.fit.ok:
        raise PlanError(f"deployments.{subject.name}: {subject.fit.why}")
    return subject, tuple(chosen)


def _check(subject: Subject) -> None:
    for flag, why in unstartable(subject):
        raise PlanError(f"deployments.{subject.name}.{flag}: {why}")


def unstartable(subject: Subject) -> Iterator[tuple[str, str]]:
    """Yield (flag, why) for what the file fixes and no engine starts, whatever memory says."""
    for flag, found in (
        ("tensor_parallel", _bad_layout(subject)),
        ("max_model_len", _bad_length(subject)),
        ("max_num_batched_tokens", _bad_step(subject)),
        ("gpu_memory_utilization", _bad_share(subject)),
    ):
        if found and flag not in subject.deployment.open:
            yield flag, found


def _bad_layout(subject: Subject) -> str | None:
    layout = subject.setup.layout
    if "pipeline_parallel" in subject.deployment.open:
        layout = Layout(layout.tensor)
    nodes = subject.place.nodes
    if nodes.accelerator.kind == "cpu":  # its ranks share one machine, whatever their number
        nodes = replace(nodes, per_node=max(layout.accelerators, nodes.per_node))
    return refusal(subject.architecture, nodes, layout)


def _bad_length(subject: Subject) -> str | None:
    asked, context = subject.deployment.max_model_len or 0, subject.architecture.context
    told = LONGER & (subject.flags.keys() | subject.deployment.engine.env.keys())
    if asked <= context or told:
        return None
    return f"{asked:,} tokens, but {subject.deployment.model} was made for {context:,}; lower it"


def _bad_step(subject: Subject) -> str | None:
    tokens, seqs = subject.deployment.max_num_batched_tokens, subject.deployment.max_num_seqs
    if tokens is None or "max_num_seqs" in subject.deployment.open or tokens >= seqs:
        return None
    return f"{tokens:,} tokens a step are fewer than max_num_seqs, {seqs:,}; vLLM refuses that"


def _bad_share(subject: Subject) -> str | None:
    asked, engine = subject.deployment.gpu_memory_utilization, subject.deployment.engine.name
    if asked != 1 or engine != "vllm":
        return None
    return "of no GPU all memory is free at start, and vLLM refuses to want it; take 0.95 or less"


def _layout(subject: Subject) -> Iterator[Flag]:
    open_ = subject.deployment.open & {"tensor_parallel", "pipeline_parallel"}
    if not open_:
        return
    layout, why = _cheapest(subject)
    if "tensor_parallel" in open_:
        yield Flag("tensor_parallel", layout.tensor, "auto", why)
    if "pipeline_parallel" in open_:
        yield Flag("pipeline_parallel", layout.pipeline, "auto", why)


def _cheapest(subject: Subject) -> tuple[Layout, str]:
    """Return the layout that serves the rate with the fewest accelerators and keeps the promise.

    Without a rate, the one that serves most for each accelerator. Else the first that fits.
    """
    tried = [_try(subject, layout) for layout in _possible(subject)]
    fitting = [one for one in tried if one.fit.ok]
    if not fitting:
        why = f"will do: the largest {tried[-1].fit.why}" if tried else "is possible"
        raise PlanError(f"deployments.{subject.name}: no layout on {subject.place.name} {why}")
    best = min(fitting, key=_accelerators)
    layout = best.setup.layout
    if not best.capacity:
        return layout, f"none keeps {subject.slo}; the smallest that starts {best.fit.why}"
    others = ", ".join(_bid(one) for one in fitting if one is not best) or "nothing"
    return layout, f"{_bid(best)} within {subject.slo}, against {others}"


def _accelerators(subject: Subject) -> float:
    """Return how many accelerators serve the rate, or one request a second if none is known."""
    each, capacity = subject.setup.layout.accelerators, subject.capacity
    if not capacity:
        return math.inf
    return each / capacity if subject.rate is None else each * math.ceil(subject.rate / capacity)


def _bid(subject: Subject) -> str:
    if not subject.capacity:
        return f"{subject.setup.layout} cannot"
    if subject.rate is None:
        return f"{subject.setup.layout} takes {subject.capacity:.3g} requests/s"
    count, what = _accelerators(subject), subject.place.accelerator.name
    return f"{subject.setup.layout} serves {subject.rate:g} requests/s with {count:.0f} {what}"


def _possible(subject: Subject) -> Iterator[Layout]:
    deployment, nodes = subject.deployment, subject.place.nodes
    for layout in layouts(subject.architecture, nodes):
        tensor = "tensor_parallel" in deployment.open or layout.tensor == deployment.tensor_parallel
        stages = (
            "pipeline_parallel" in deployment.open
            or layout.pipeline == deployment.pipeline_parallel
        )
        if tensor and stages:
            yield layout


def _try(subject: Subject, layout: Layout) -> Subject:
    """Return the subject in this layout, with lengths that its requests need."""
    made = subject.filled({"tensor_parallel": layout.tensor, "pipeline_parallel": layout.pipeline})
    if "max_model_len" in subject.deployment.open:
        made = made.filled({"max_model_len": made.recommended.setup.max_model_len})
    return made


def _utilization(subject: Subject) -> Iterator[Flag]:
    if "gpu_memory_utilization" in subject.deployment.open:
        share = subject.defaults.gpu_memory_utilization
        why = (
            f"vLLM {subject.planned_as}'s own default: it leaves"
            f" {gigabytes((1 - share) * subject.place.accelerator.memory)} of each device to what"
            " the engine does not count"
        )
        yield Flag("gpu_memory_utilization", share, "auto", why)


def _lengths(subject: Subject) -> Iterator[Flag]:
    wanted = subject.deployment.open & set(_LENGTHS)
    if not wanted:
        return
    found = subject.recommended
    setup = _with_fixed(subject, found)
    cpu = setup.accelerator.kind == "cpu"
    for choice in _on_cpu(subject, found) if cpu else found.choices:
        if choice.flag in wanted:
            yield _bounded(subject, setup, choice)


def _on_cpu(subject: Subject, found: Recommendation) -> Iterator[Choice]:
    """Yield what is chosen on a CPU: compute ends before memory does, and its cache is made."""
    yield replace(found.max_model_len, reason=found.max_model_len.reason.partition(". ")[0])
    why = "beyond so many requests at once a CPU's tokens/s hardly rise, each only waits longer"
    yield Choice("max_num_seqs", CPU_SEQS, why)
    why = f"vLLM {subject.planned_as}'s own default on a CPU"
    yield Choice("max_num_batched_tokens", subject.defaults.max_num_batched_tokens, why)


def _with_fixed(subject: Subject, found: Recommendation) -> Setup:
    """Return the recommended setup with the flags that the file fixes itself."""
    fixed = {name: getattr(subject.setup, name) for name in _LENGTHS}
    open_ = subject.deployment.open
    return replace(found.setup, **{name: fixed[name] for name in fixed.keys() - open_})


def _bounded(subject: Subject, setup: Setup, choice: Choice) -> Flag:
    """Return a choice, changed where the flags that the file fixes leave it no room."""
    cache = Fit(setup, budgets(setup, subject.planned_as)).cache
    value, why = choice.value, choice.reason
    if choice.flag == "max_model_len":
        value = min(value, cache.longest(value) or value)
    elif choice.flag == "max_num_seqs":
        fits = observed_concurrency(cache, subject.traffic, setup.max_model_len)
        value = min(value, max(1, int(fits)), setup.max_num_batched_tokens)
    elif "max_num_seqs" not in subject.deployment.open:
        value = max(value, setup.max_num_seqs)
    if value != choice.value:
        why = f"{value:,} for what the file fixes, else {choice.value:,}: {why}"
    return Flag(choice.flag, value, "auto", why)


def _kv_cache(subject: Subject) -> Iterator[Flag]:
    if "kv_cache" not in subject.deployment.open:
        return
    if subject.setup.accelerator.kind != "cpu":
        raise PlanError(
            f"deployments.{subject.name}.kv_cache: on a GPU the cache is what"
            " gpu_memory_utilization leaves; set that to auto, and remove kv_cache"
        )
    yield _cpu_cache(subject)


def _cpu_cache(subject: Subject) -> Flag:
    """Return enough for all requests at once, within a replica's share of the machine."""
    setup, ranks = subject.setup, subject.deployment.tensor_parallel
    layout = kv_layout(setup)
    each = max(
        resident_blocks(layout, subject.traffic, setup.max_model_len),
        layout.blocks_for(setup.max_model_len) / setup.max_num_seqs,
    )
    blocks = int(each * setup.max_num_seqs) + 2
    need = blocks * layout.block_bytes[0] * ranks
    replicas = subject.deployment.scaling.max
    used = sum(budget.used for budget in budgets(setup, subject.planned_as))
    room = int(CPU_SHARE * subject.place.accelerator.memory / replicas) - used
    if room < layout.blocks_for(setup.max_model_len) * layout.block_bytes[0] * ranks:
        raise PlanError(
            f"deployments.{subject.name}.kv_cache: {replicas} replicas of {gigabytes(used)} without"
            f" a cache leave no room for one request of {setup.max_model_len:,} tokens in"
            f" {gigabytes(subject.place.accelerator.memory)}; lower scaling.max or max_model_len"
        )
    why = (
        f"{setup.max_num_seqs} requests at once need {gigabytes(need)} ({blocks:,} blocks); each of"
        f" {replicas} replica(s) may have {gigabytes(room)} beside its weights"
    )
    return Flag("kv_cache", min(need, room) // ranks * ranks, "auto", why)
