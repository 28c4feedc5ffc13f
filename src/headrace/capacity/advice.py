"""What to change when nothing keeps the SLO, or nothing fits: sentences with figures.

`choose.py` adds them to every answer that leaves its reader with nothing to take.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from headrace.capacity.options import Ask, Miss, Offer, Option
from headrace.capacity.steady import State
from headrace.capacity.words import gigabytes, span
from headrace.models.weight_bytes import weights_by_formula

ROOM = 1.1
"""A bound to propose is this much above what can be reached."""


def advice(
    ask: Ask, kept: Sequence[Option], missed: Sequence[Miss], offers: Sequence[Offer]
) -> Iterator[str]:
    """Yield what would help; nothing where something keeps the SLO without new evidence."""
    if kept:
        if all(option.needs_evidence for option in kept):
            yield (
                f"only quantized variants keep {ask.slo}: measure the quality of"
                f" {kept[0].setup.weights.scheme} before anything else, or offer faster hardware"
            )
        return
    if missed:
        yield from _out_of_reach(ask, missed)
    else:
        yield from _too_large(ask, offers)


def _out_of_reach(ask: Ask, missed: Sequence[Miss]) -> Iterator[str]:
    alone = [(miss, miss.state) for miss in missed if miss.state is not None]
    if not alone:
        yield f"{missed[0].name} comes nearest: {missed[0].why}"
        return
    fastest, tpot = min(alone, key=lambda pair: pair[1].tpot_p95)
    soonest, ttft = min(alone, key=lambda pair: pair[1].ttft_p95)
    yield (
        f"nothing keeps {ask.slo}: with one request at a time the best TPOT p95 is"
        f" {span(tpot.tpot_p95)} ({fastest.name}) and the best TTFT p95 {span(ttft.ttft_p95)}"
        f" ({soonest.name}); {ask.efficiency(fastest.fit.setup).label}"
    )
    yield from _looser(ask, missed[0], missed[0].state)
    yield "or: a smaller model, quantized weights, wider tensor parallelism, faster memory"
    if ttft.ttft_p95 > ask.slo.ttft:
        yield (
            f"or shorter prompts: {ask.lengths.prompt_p95:,.0f} tokens (p95) are read in"
            f" {span(ttft.ttft_p95)} at best; prefixes that are cached do not count"
        )


def _looser(ask: Ask, nearest: Miss, state: State | None) -> Iterator[str]:
    """Propose the bounds that the nearest one keeps."""
    if state is None:
        return
    bounds = [
        f"{name} {span(ROOM * value)} instead of {span(bound)}"
        for name, value, bound in (
            ("TTFT", state.ttft_p95, ask.slo.ttft),
            ("TPOT", state.tpot_p95, ask.slo.tpot),
        )
        if value > bound
    ]
    if bounds:
        yield f"nearest is {nearest.name}: it would do with {' and '.join(bounds)}"
    else:
        yield f"nearest is {nearest.name}: {nearest.why}"


def _too_large(ask: Ask, offers: Sequence[Offer]) -> Iterator[str]:
    need = weights_by_formula(ask.architecture).total
    largest = max(offers, key=_memory)
    nodes = largest.nodes
    total = ask.gpu_memory_utilization * _memory(largest)
    yield (
        f"the model ({ask.architecture.name}) weighs {gigabytes(need)} as published; the most that"
        f" is offered is {nodes.count} x {nodes.per_node} {nodes.accelerator.name}, of which an"
        f" engine may use {gigabytes(total)}"
    )
    yield (
        "allow a replica more nodes (a pipeline over them), larger accelerators, or a quantization"
        f" with 4 bits; or lower max_model_len from {ask.max_model_len:,}"
    )


def _memory(offer: Offer) -> float:
    nodes = offer.nodes
    return nodes.accelerator.memory * nodes.per_node * nodes.count
