"""The assumptions of a memory plan against a log: weights, activations, libraries, graphs, blocks.

Of several ranks of a stage the one counts that takes most, as the smallest cache decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from headrace.capacity.fits import Fit
from headrace.capacity.memory import Budget
from headrace.engines.vllm_memory_lines import Said
from headrace.engines.vllm_memory_log import MemorySaid, RankSaid
from headrace.planning.check_room import available, blocks_said, of_stage, tightest
from headrace.planning.check_row import Planned, Row, row

Names = tuple[str, ...]
WEIGHTS: Names = ("weights", "copied weights", "rotary table")
"""Parts of a budget that the engine counts as the loaded model."""
ACTIVATION: Names = ("activation peak", "image encoder")
LIBRARIES: Names = ("driver and libraries",)
GRAPHS: Names = ("CUDA graphs",)
_READ, _DATA_SHEET = 0.003, 0.015
"""By how much drivers differ in what they show of a card, and cards from their data sheet."""


@dataclass(frozen=True)
class _Part:
    """Parts of a budget that one figure of the log is about; None if it is not told."""

    names: Names
    planned: Planned
    said: Said | None


def assumed_rows(fit: Fit, said: MemorySaid) -> Iterator[Row]:
    """Yield a row for each assumption that the log tells of."""
    for stage, budget in enumerate(fit.budgets):
        ranks = of_stage(fit, said, stage)
        parts = list(_parts(budget, ranks, eager=bool(said.eager)))
        name = f", stage {stage}" if len(fit.budgets) > 1 else ""
        yield from _card(fit, ranks, name)
        for part in parts:
            if part.said is not None:
                yield row(f"{part.names[0]}{name}", part.planned, *part.said)
        cache = available(fit, said, stage)
        if cache is not None and budget.fixed is None:
            whole, why = _requested(fit, budget, ranks)
            yield from _together(parts, whole, cache, why, name)
    if said.checkpoint and not any(one.weights for one in said.ranks):
        yield _files(fit, said.checkpoint)
    yield from _block(fit, said)


def _parts(budget: Budget, ranks: Sequence[RankSaid], *, eager: bool) -> Iterator[_Part]:
    """Yield what a budget assumes beside what the ranks told of it."""
    taken = _most(one.graphs_estimated or one.graphs for one in ranks)
    told = (
        (WEIGHTS, _most(one.weights for one in ranks)),
        (ACTIVATION, _most(one.activation for one in ranks)),
        (LIBRARIES, _most(one.non_torch for one in ranks)),
        (GRAPHS, Said(0) if eager else taken),
    )
    for names, said in told:
        planned = _planned(budget, names)
        if planned is not None:
            yield _Part(names, planned, said)


def _planned(budget: Budget, names: Names) -> Planned | None:
    parts = [part for part in budget.parts if part.name in names]
    if not parts:
        return None
    return Planned(
        sum(part.bytes for part in parts),
        sum(part.low for part in parts),
        sum(part.high for part in parts),
        parts[0].basis,
    )


def _most(sizes: Iterable[Said | None]) -> Said | None:
    return max((one for one in sizes if one is not None), default=None)


def _card(fit: Fit, ranks: Sequence[RankSaid], name: str) -> Iterator[Row]:
    """Yield the memory of the card: the smallest, if the log tells it."""
    total = min((one.total for one in ranks if one.total), default=None)
    card = fit.setup.accelerator
    if total is not None and card.kind == "gpu":
        slack = _READ if card.memory_exact else _DATA_SHEET
        low, high = card.memory * (1 - slack), card.memory * (1 + slack)
        known = "read from one" if card.memory_exact else "data sheet"
        planned = Planned(card.memory, low, high, f"{card.name}, {known}")
        yield row(f"memory of the card{name}", planned, *total)


def _requested(fit: Fit, budget: Budget, ranks: Sequence[RankSaid]) -> tuple[Said, str]:
    """Return what a rank may use, and that it is assumed if the log does not tell."""
    told = min((one.requested for one in ranks if one.requested), default=None)
    if told is not None:
        return told, ""
    setup = fit.setup
    return Said(budget.requested), f"{setup.gpu_memory_utilization:.0%} of {setup.accelerator.name}"


def _together(
    parts: Sequence[_Part], whole: Said, cache: Said, why: str, name: str
) -> Iterator[Row]:
    """Yield the parts that nothing is told of as one: what the others leave of the whole."""
    silent = [part for part in parts if part.said is None]
    told = [part.said for part in parts if part.said is not None]
    if not silent or not told:
        return
    left = whole.bytes - cache.bytes - sum(one.bytes for one in told)
    rounding = sum(one.rounding for one in (whole, cache, *told))
    planned = Planned(
        sum(part.planned.value for part in silent),
        sum(part.planned.low for part in silent),
        sum(part.planned.high for part in silent),
        "; ".join(filter(None, (why, *(part.planned.assumption for part in silent)))),
    )
    yield row(", ".join(part.names[0] for part in silent) + name, planned, left, rounding)


def _files(fit: Fit, checkpoint: Said) -> Row:
    """Return the weights by their files: a CPU tells no more."""
    weights = fit.setup.weights
    error = 0.0 if weights.exact else 0.02
    low, high = weights.total * (1 - error), weights.total * (1 + error)
    planned = Planned(weights.total, low, high, weights.basis)
    return row("weight files", planned, *checkpoint)


def _block(fit: Fit, said: MemorySaid) -> Iterator[Row]:
    """Yield the bytes of a KV block, from a cache and its whole blocks; stages differ in theirs."""
    blocks, cache = blocks_said(fit, said), tightest(said.ranks)
    if blocks and cache and len(fit.budgets) == 1:
        planned = fit.cache.layout.block_bytes[0]
        most = (cache.bytes + cache.rounding) / blocks
        least = (cache.bytes - cache.rounding) / (blocks + 1)
        why = "heads, head size and dtype of each layer, padding of groups"
        near = planned if least <= planned <= most else cache.bytes / blocks
        rounding = (most - least) / 2 if near != planned else 0.0
        exact = Planned(planned, planned, planned, why)
        yield row("KV block", exact, near, rounding, unit="block", times=blocks)
