"""Choosing: the order, what is given up, what helps when nothing will do."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.capacity.choose import Choice, choose
from headrace.capacity.efficiency import UNCALIBRATED, Efficiency
from headrace.capacity.fits import fit
from headrace.capacity.layouts import Nodes
from headrace.capacity.lengths import Lengths
from headrace.capacity.options import Ask, Miss, Offer, Option, weigh
from headrace.capacity.setup import Layout, Setup
from headrace.capacity.slo import Slo, slo_for
from headrace.hardware.catalogue import find_accelerator
from headrace.models.catalogue import need_known_model
from headrace.models.weight_bytes import weights_by_formula

CHAT = Lengths.fixed(1000, 300)
PRICES = {"A100-80GB": 2.5, "H100": 3.95, "L40S": 1.95}


def ask(model: str = "Llama-3.1-70B", *, rate: float = 5, slo: Slo | None = None) -> Ask:
    return Ask(need_known_model(model), CHAT, rate, slo or slo_for("interactive"), 8192)


def offers(prices: dict[str, float] = PRICES, *, nodes: int = 1) -> list[Offer]:
    return [
        Offer(Nodes.usual(find_accelerator(name), nodes), price) for name, price in prices.items()
    ]


def names(choice: Choice) -> list[str]:
    return [ranked.option.name for ranked in choice.kept]


@pytest.fixture(scope="module")
def chat() -> Choice:
    """A 70B for interactive chat at 5 requests/s."""
    return choose(ask(), offers())


def test_cheapest_first_and_all_keep_the_slo(chat: Choice) -> None:
    options = [ranked.option for ranked in chat.kept]
    assert len(options) > 5
    assert [one.cost.hour for one in options] == sorted(one.cost.hour for one in options)
    assert [ranked.place for ranked in chat.kept] == list(range(1, len(options) + 1))
    for one in (*options, *chat.beaten):
        assert one.state.ttft_p95 <= 2.0
        assert one.state.tpot_p95 <= 0.06
        assert one.replicas * one.capacity >= 5
        price = PRICES[one.setup.accelerator.name]
        assert one.cost.hour == pytest.approx(one.accelerators * price)
        assert one.cost.thousand_requests == pytest.approx(one.cost.hour / 18)  # 5 * 3600 / 1000


def test_the_order_of_offers_does_not_matter(chat: Choice) -> None:
    assert choose(ask(), list(reversed(offers()))) == chat


def test_a_pipeline_only_where_links_are_slow_or_nothing_else_fits(chat: Choice) -> None:
    seen = [one.option.setup for one in chat.kept] + [one.setup for one in chat.beaten]
    assert all(one.layout.pipeline == 1 for one in seen if one.accelerator.name != "L40S")
    # 811.7 GB in bf16 need two nodes of 8 A100: TP8 x PP2. Each token waits for both stages to read
    # their 50.5 GB, at 2.04 TB/s 49.5 ms at the very least
    slow = ask("Llama-3.1-405B", slo=slo_for("interactive", tpot=0.045))
    large = choose(slow, offers({"A100-80GB": 2.5}, nodes=2))
    missed = {one.name: one for one in large.missed}["A100-80GB TP8 x PP2 bf16"]
    assert missed.state is not None
    assert missed.state.tpot_p95 > 0.0495
    assert "even a request alone has TPOT p95" in missed.why
    assert large.advice[0].startswith("only quantized variants keep TTFT p95 2 s, TPOT p95 45 ms")


def test_each_says_what_it_gives_up_with_figures(chat: Choice) -> None:
    first, *others = chat.kept
    assert "per 1,000 requests)" not in first.gives_up
    for ranked in others:
        ratio = ranked.option.cost.hour / first.option.cost.hour
        much = f"{ratio - 1:.0%} more money than" if ratio < 2 else f"{ratio:.1f} times the cost of"
        assert (f"{much} {first.option.name}" in ranked.gives_up) == (ratio > 1)
    for ranked in chat.kept:
        option, words = ranked.option, ranked.gives_up.lower()
        scheme = option.setup.weights.scheme
        assert ("needs evidence of quality" in words) == (scheme != "bf16")
        assert ("one replica only" in words) == (option.replicas == 1)
        worse = 1 + UNCALIBRATED.error
        over = option.state.ttft_p95 * worse > 2 or option.state.tpot_p95 * worse > 0.06
        assert (f"within the error ({UNCALIBRATED.label}" in words) == over


def test_a_faster_one_is_named_with_its_price(chat: Choice) -> None:
    slow = chat.kept[0]
    assert "TPOT p95 is" in slow.gives_up
    named = next(one for one in chat.kept if f"where {one.option.name} has" in slow.gives_up)
    assert 1.25 * named.option.state.tpot_p95 < slow.option.state.tpot_p95
    cheaper = [one.option for one in chat.kept if one.place < named.place]
    assert all(1.25 * one.state.tpot_p95 >= slow.option.state.tpot_p95 for one in cheaper)
    assert f"for {named.option.cost.thousand_requests:.3g} per 1,000 requests" in slow.gives_up


def test_no_kernels_no_candidate() -> None:
    choice = choose(ask(), offers({"B200": 6.25}))
    why = {(one.accelerator, one.scheme): one.why for one in choice.unfit}
    assert "no INT8 kernels for Blackwell" in why["B200", "int8"]


def test_an_slo_that_nothing_keeps_gets_an_answer_that_helps() -> None:
    choice = choose(ask(slo=slo_for("interactive", tpot=0.002)), offers())
    assert choice.kept == ()
    nearest = choice.missed[0]
    assert nearest.state is not None
    assert nearest.excess == pytest.approx(nearest.state.tpot_p95 / 0.002)
    assert all(one.excess >= nearest.excess for one in choice.missed)
    # what it proposes is kept by what it names
    bound = nearest.state.tpot_p95 * 1.1
    text = " ".join(choice.advice)
    assert f"nearest is {nearest.name}: it would do with TPOT {1000 * bound:.3g} ms" in text
    again = choose(ask(slo=slo_for("interactive", tpot=bound)), offers())
    assert any(nearest.name in name for name in names(again))


def test_a_miss_that_is_only_larger_than_what_keeps_it_is_not_told() -> None:
    """Eight nodes of L40S make pipelines of up to 64 stages, each slower than the last."""
    choice = choose(ask("Llama-3.1-8B"), offers({"L40S": 1.95}, nodes=8))
    least: dict[str, int] = {}
    for one in (*(ranked.option for ranked in choice.kept), *choice.beaten):
        scheme, count = one.setup.weights.scheme, one.setup.layout.accelerators
        least[scheme] = min(count, least.get(scheme, count))
    assert least["bf16"] == 1
    assert not [one.name for one in choice.missed if one.fit.setup.weights.scheme in least]


def test_a_promise_that_one_more_request_breaks_is_not_called_a_lack_of_memory() -> None:
    """A bound of what a request alone has, on a card whose memory holds hundreds."""
    model = need_known_model("Llama-3.1-8B")
    (offer,) = offers({"H100": 3.95})
    held = fit(Setup(model, weights_by_formula(model), find_accelerator("H100"), max_num_seqs=1024))

    def weighed(tpot: float) -> Miss:
        found = weigh(ask("Llama-3.1-8B", slo=Slo(2.0, tpot)), offer, held)
        assert isinstance(found, Miss)
        return found

    lone = weighed(0.001).state
    assert lone is not None
    why = weighed(lone.tpot_p95).why
    assert why == "a request alone keeps the SLO, but one beside it breaks it"


def test_the_worse_of_two_misses_counts() -> None:
    nearest = choose(ask(slo=Slo(ttft=0.05, tpot=0.001)), offers({"H100": 3.95})).missed[0]
    assert nearest.state is not None
    over = nearest.state.ttft_p95 / 0.05, nearest.state.tpot_p95 / 0.001
    assert nearest.excess == pytest.approx(max(over))
    assert "TTFT p95" in nearest.why
    assert "and TPOT p95" in nearest.why


def test_growth_during_a_cold_start_needs_warm_replicas(chat: Choice) -> None:
    grown = choose(replace(ask(), growth=15), offers())
    before = {str(one.option.setup): one.option.replicas for one in chat.kept}
    both = [one.option for one in grown.kept if str(one.option.setup) in before]
    assert both
    for one in both:
        assert one.replicas >= before[str(one.setup)]
        assert one.replicas * one.capacity >= 20
        assert one.state.rate == pytest.approx(5 / one.replicas, rel=0.05)


def test_prompts_that_take_too_long_to_read_are_said() -> None:
    choice = choose(ask(slo=slo_for("interactive", ttft=0.01)), offers())
    assert "shorter prompts: 1,000 tokens (p95) are read in" in choice.advice[-1]


def test_a_model_too_large_for_all_gets_bytes_and_ways_out() -> None:
    choice = choose(ask("Llama-3.1-405B"), offers({"T4": 0.59}))
    assert (choice.kept, choice.missed) == ((), ())
    assert "weighs 811.7 GB as published" in choice.advice[0]
    # 0.92 x 4 x 15.66 GB
    assert "1 x 4 T4, of which an engine may use 57.6 GB" in choice.advice[0]
    assert {one.scheme for one in choice.unfit} == {"bf16", "fp8", "int8", "awq"}


def test_too_few_accelerators_are_counted() -> None:
    few = [replace(offer, at_most=4) for offer in offers({"A100-80GB": 2.5})]
    choice = choose(ask(rate=50), few)
    assert choice.kept == ()
    assert "and 4 are offered: they serve" in choice.missed[0].why


def test_the_published_form_is_the_first_among_equals() -> None:
    # at no cost all are equal
    free = choose(ask(), offers(dict.fromkeys(PRICES, 0.0)))
    quantized = [ranked.option.needs_evidence for ranked in free.kept]
    assert quantized == sorted(quantized)


def test_a_calibration_is_carried_through() -> None:
    known = Efficiency(0.8, 0.7, 0.002, 0.4, error=0.02, label="calibrated on a run, error 2.0%")
    choice = choose(replace(ask(), efficiencies={"H100": known}), offers())
    by = {ranked.option.setup.accelerator.name: ranked.option.efficiency for ranked in choice.kept}
    assert (by["H100"].error, by["A100-80GB"].error) == (0.02, UNCALIBRATED.error)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rate": 0.0}, "must be above 0"),
        ({"max_model_len": 200_000}, "trained for 131,072"),
        ({"max_model_len": 1200}, "raise it, or declare shorter requests"),
    ],
)
def test_bad_asks_are_refused(change: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        replace(ask(), **change)  # type: ignore[arg-type]


def test_bad_offers_are_refused() -> None:
    with pytest.raises(ValueError, match="name at least one with its price"):
        choose(ask(), [])
    with pytest.raises(ValueError, match="must be 0 or more"):
        Offer(Nodes.usual(find_accelerator("L4")), math.nan)


@settings(max_examples=12, deadline=None)
@given(st.lists(st.floats(0.1, 20), min_size=3, max_size=3), st.integers(0, 2), st.floats(0.1, 1))
def test_a_lower_price_never_worsens_a_place(
    prices: list[float], which: int, factor: float
) -> None:
    before = dict(zip(PRICES, prices, strict=True))
    name = list(PRICES)[which]
    after = before | {name: before[name] * factor}
    old = _places(choose(ask("Llama-3.1-8B"), offers(before)), name)
    new = _places(choose(ask("Llama-3.1-8B"), offers(after)), name)
    assert old.keys() == new.keys()
    assert all(new[one] <= old[one] for one in old)


def _places(choice: Choice, accelerator: str) -> dict[str, int]:
    return {
        ranked.option.name: ranked.place
        for ranked in choice.kept
        if ranked.option.setup.accelerator.name == accelerator
    }


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.floats(0.01, 300), min_size=2, max_size=6),
    st.sampled_from([Layout(1), Layout(2), Layout(4)]),
    st.sampled_from(["interactive", "batch", "long-context"]),
)
def test_replicas_never_fall_with_the_rate(
    rates: list[float], layout: Layout, workload: str
) -> None:
    base = replace(ask("Qwen3-32B"), slo=slo_for(workload))  # type: ignore[arg-type]
    [offer] = offers({"H100": 3.95})
    setup = Setup(
        base.architecture,
        weights_by_formula(base.architecture, "fp8"),
        offer.nodes.accelerator,
        layout,
    )
    found: Sequence[Option | Miss] = [
        weigh(replace(base, rate=rate), offer, fit(setup)) for rate in sorted(rates)
    ]
    counts = [one.replicas for one in found if isinstance(one, Option)]
    assert len(counts) == len(rates)
    assert all(a <= b for a, b in itertools.pairwise(counts))
