"""Which configuration to take: all of them weighed, ranked by cost among those that keep the SLO.

`layouts.py` says what can be started, `schemes.py` what has kernels, `fits.py` what has the memory,
`options.py` how fast and how dear it is. A pipeline is looked at only where no layout without one
fits or links are slow. Of the layouts of one accelerator and quantization a dearer one stays only
where it is notably faster than all cheaper ones.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from headrace.capacity.advice import advice
from headrace.capacity.fits import Fit, fit
from headrace.capacity.gives_up import gives_up
from headrace.capacity.layouts import SLOW_LINK, layouts, preference
from headrace.capacity.options import Ask, Miss, Offer, Option, weigh
from headrace.capacity.schemes import candidates, support
from headrace.capacity.setup import Layout, Setup
from headrace.engines.vllm_defaults import defaults
from headrace.models.weight_bytes import Weights, weights_by_formula

ENGINE = "0.32.0"
NOTABLE = 1.1
"""A dearer layout has to be faster by this factor, in TTFT or in TPOT."""
MOST_SEQS = 256
"""Requests at once that a plan asks for at most: more only take memory for sampling."""


@dataclass(frozen=True)
class Ranked:
    """An option with its place, from 1, and what it gives up against the others."""

    place: int
    option: Option
    gives_up: str


@dataclass(frozen=True)
class Unfit:
    """What cannot be started at all on an offer, and why; the reason is of its largest layout."""

    accelerator: str
    scheme: str
    why: str


@dataclass(frozen=True)
class Choice:
    """`kept` keep the SLO, cheapest first; `missed` start but do not, nearest first.

    `beaten` keep it too, but a cheaper layout of the same accelerator and scheme is about as fast
    or faster. `advice` has sentences for when there is little or nothing to choose from.
    """

    kept: tuple[Ranked, ...]
    beaten: tuple[Option, ...]
    missed: tuple[Miss, ...]
    unfit: tuple[Unfit, ...]
    advice: tuple[str, ...]


def choose(ask: Ask, offers: Sequence[Offer]) -> Choice:
    """Return all configurations on `offers`, ranked; the order does not depend on that of offers.

    Ties in cost go to what needs no evidence, then to fewer accelerators, then to the faster.
    """
    if not offers:
        raise ValueError("no accelerators are offered; name at least one with its price")
    fits, unfit = _sorted_out(ask, offers)
    weighed = [weigh(ask, offer, one) for offer, one in fits]
    options = sorted((one for one in weighed if isinstance(one, Option)), key=_rank)
    kept = _unbeaten(options)
    places = {id(one) for one in kept}
    misses = (one for one in weighed if isinstance(one, Miss) and not _dwarfed(one, options))
    missed = sorted(misses, key=_nearness)
    return Choice(
        tuple(Ranked(i, one, gives_up(ask, one, kept)) for i, one in enumerate(kept, 1)),
        tuple(one for one in options if id(one) not in places),
        tuple(missed),
        tuple(sorted(unfit, key=lambda one: (one.accelerator, one.scheme))),
        tuple(advice(ask, kept, missed, offers)),
    )


def _rank(option: Option) -> tuple[float, bool, int, float, float, str]:
    return (
        round(option.cost.hour, 9),
        option.needs_evidence,
        option.accelerators,
        option.state.tpot_p95,
        option.state.ttft_p95,
        option.name,
    )


def _dwarfed(miss: Miss, options: Iterable[Option]) -> bool:
    """Whether no more of the same accelerators, in the same scheme, keep the SLO."""
    mine = miss.fit.setup
    return any(
        one.setup.layout.accelerators <= mine.layout.accelerators
        for one in options
        if one.setup.accelerator == mine.accelerator
        and one.setup.weights.scheme == mine.weights.scheme
    )


def _nearness(miss: Miss) -> tuple[float, float, str]:
    return miss.excess, miss.offer.price * miss.fit.setup.layout.accelerators, miss.name


def _sorted_out(ask: Ask, offers: Iterable[Offer]) -> tuple[list[tuple[Offer, Fit]], list[Unfit]]:
    """Return what fits on each offer, and for each offer and scheme of which nothing does, why."""
    fits: list[tuple[Offer, Fit]] = []
    unfit: list[Unfit] = []
    weights = _weights(ask)
    for offer in offers:
        accelerator = offer.nodes.accelerator
        for scheme, one in weights.items():
            kernels = support(scheme, accelerator)
            if not kernels.runs:
                unfit.append(Unfit(accelerator.name, scheme, kernels.how))
                continue
            found, why = _fitting(ask, offer, one)
            fits += [(offer, each) for each in found]
            if not found:
                unfit.append(Unfit(accelerator.name, scheme, why))
    return fits, unfit


def _weights(ask: Ask) -> dict[str, Weights]:
    schemes = ask.schemes or candidates(ask.architecture)
    return {
        scheme: ask.weights.get(scheme) or weights_by_formula(ask.architecture, scheme)
        for scheme in schemes
    }


def _fitting(ask: Ask, offer: Offer, weights: Weights) -> tuple[list[Fit], str]:
    """Return the fits worth weighing, or none and why the largest layout does not fit."""
    found: list[Fit] = []
    why = "no layout is possible"
    link = offer.nodes.accelerator.link
    for stages, shapes in _by_stages(ask, offer):
        if stages > 1 and found and link.bandwidth >= SLOW_LINK:
            break
        tried = [fit(_setup(ask, offer, weights, layout)) for layout in shapes]
        found += [one for one in tried if one.ok]
        why = tried[-1].why
    return found, why


def _by_stages(ask: Ask, offer: Offer) -> Iterator[tuple[int, list[Layout]]]:
    """Yield the layouts by their number of stages, those inside a node before all others."""
    nodes = offer.nodes

    def key(layout: Layout) -> tuple[int, int]:
        spanned, stages, _ = preference(nodes, layout)
        return spanned, stages

    for (_, stages), shapes in groupby(layouts(ask.architecture, nodes), key):
        yield stages, list(shapes)


def _setup(ask: Ask, offer: Offer, weights: Weights, layout: Layout) -> Setup:
    accelerator = offer.nodes.accelerator
    engine = defaults(
        ENGINE, kind=accelerator.kind, memory=accelerator.memory, product=accelerator.name
    )
    return Setup(
        ask.architecture,
        weights,
        accelerator,
        layout,
        max_model_len=ask.max_model_len,
        max_num_seqs=min(MOST_SEQS, engine.max_num_seqs),
        max_num_batched_tokens=engine.max_num_batched_tokens,
        gpu_memory_utilization=ask.gpu_memory_utilization,
        kv_dtype_bytes=ask.kv_dtype_bytes,
        block=engine.block,
    )


def _unbeaten(options: Iterable[Option]) -> list[Option]:
    """Return those that are notably faster than all cheaper ones of their accelerator and scheme.

    `options` are in the order of rank, so what is kept so far costs no more.
    """
    kept: list[Option] = []
    same: defaultdict[tuple[str, str], list[Option]] = defaultdict(list)
    for option in options:
        kind = option.setup.accelerator.name, option.setup.weights.scheme
        if not any(_as_fast(cheaper, option) for cheaper in same[kind]):
            same[kind].append(option)
            kept.append(option)
    return kept


def _as_fast(cheaper: Option, option: Option) -> bool:
    mine, other = option.state, cheaper.state
    return other.ttft_p95 <= NOTABLE * mine.ttft_p95 and other.tpot_p95 <= NOTABLE * mine.tpot_p95
