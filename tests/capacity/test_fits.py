"""The textbook's table of models and accelerators, computed: what fits, and with how little cache.

Bytes by hand: an A100-80GB shows 84.99 GB, of which vLLM takes 92 % = 78.19 GB; what an engine
needs besides weights is assumed by `memory.py` and is 1 to 5 GB, so caches are known in between.
"""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.capacity.fits import fit
from headrace.capacity.setup import Layout, Setup
from headrace.hardware.catalogue import accelerators, find_accelerator
from headrace.models.catalogue import need_known_model
from headrace.models.weight_bytes import weights_by_formula

MODELS = ("Llama-3.1-8B", "Llama-3.1-70B", "Mixtral-8x22B", "gpt-oss-120b", "DeepSeek-V3")


def setup(model: str, accelerator: str, layout: Layout, scheme: str | None = None) -> Setup:
    architecture = need_known_model(model)
    weights = weights_by_formula(architecture, scheme)
    return Setup(
        architecture,
        weights,
        find_accelerator(accelerator),
        layout,
        max_num_seqs=32,
        max_num_batched_tokens=2048,
    )


@pytest.mark.parametrize(
    ("model", "accelerator", "layout", "weights", "token_bytes"),
    [
        # 8.03 billion x 2 bytes; 2 x 32 layers x 8 heads x 128 x 2 bytes
        ("Llama-3.1-8B", "A100-40GB", Layout(), 16.06e9, 131_072),
        # 70.55 billion x 2 bytes over 2; 2 x 80 x 4 of 8 heads x 128 x 2
        ("Llama-3.1-70B", "A100-80GB", Layout(2), 141.11e9 / 2, 163_840),
        # 405.85 billion x 2 over 16, embedding and head (4.2 GB each) on different stages of 63
        # layers; 2 x 63 x 1 of 8 heads x 128 x 2
        ("Llama-3.1-405B", "A100-80GB", Layout(8, 2), 811.71e9 / 16, 32_256),
        # over 12: two of three stages hold 4.2 GB more than a third of 803.3 GB
        ("Llama-3.1-405B", "A100-80GB", Layout(4, 3), (803.3e9 / 3 + 4.2e9) / 4, 43_008),
        # 140.63 billion x 2 bytes over 4; 2 x 56 x 2 of 8 heads x 128 x 2
        ("Mixtral-8x22B", "A100-80GB", Layout(4), 281.26e9 / 4, 57_344),
    ],
)
def test_the_table(
    model: str, accelerator: str, layout: Layout, weights: float, token_bytes: int
) -> None:
    found = fit(setup(model, accelerator, layout))
    assert found.ok
    assert found.sure
    left = 0.92 * found.setup.accelerator.memory - weights
    assert (left - 5e9) / token_bytes < found.cache.tokens < (left - 1e9) / token_bytes
    assert f"fits: {weights / 1e9:,.1f} GB of weights on each of {layout.accelerators}" in found.why


def test_70b_on_two_a100_has_room_for_a_few_requests() -> None:
    # 78.19 - 70.55 = 7.6 GB for everything: below 46,600 tokens, 5.7 requests of 8,192
    two = setup("Llama-3.1-70B", "A100-80GB", Layout(2))
    assert 1 < fit(two).cache.concurrency() < 5.7
    whole = fit(replace(two, max_model_len=131_072))
    assert not whole.ok
    assert "less than one request of 131,072 tokens takes: lower max_model_len to" in whole.why
    # of four, half of the weights are on each: ten times the cache
    assert fit(setup("Llama-3.1-70B", "A100-80GB", Layout(4))).cache.concurrency() > 10 * 5


def test_405b_does_not_fit_in_one_node() -> None:
    found = fit(setup("Llama-3.1-405B", "A100-80GB", Layout(8)))
    assert not found.ok
    # 811.7 / 8 = 101.5 GB against 0.92 * 85.0 = 78.2
    assert "each of 8 A100-80GB would hold 101.5 GB of weights" in found.why
    assert "the 78.2 GB it may use (92% of 85.0 GB)" in found.why


def test_mixtral_8x22b_computes_with_39_billion_not_44() -> None:
    parameters = need_known_model("Mixtral-8x22B").parameters
    assert parameters.total == pytest.approx(140.6e9, rel=0.001)
    # 2 of 8 experts of 3 x 6144 x 16384 in 56 layers: 33.8; attention 4.9; head 0.2; all: 39.1
    assert parameters.active == pytest.approx(39.0e9, rel=0.01)


def test_a_doubt_is_said() -> None:
    # with 256 requests the assumptions leave 0.5 GB at worst, less than a request of 8,192
    tight = replace(setup("Llama-3.1-70B", "A100-80GB", Layout(2)), max_num_seqs=256)
    assert fit(tight).ok
    assert not fit(tight).sure
    assert fit(tight).why.endswith("if every assumption is off to the wrong side, it does not")


@given(
    st.sampled_from(MODELS),
    st.sampled_from(accelerators()),
    st.sampled_from([Layout(1), Layout(2), Layout(8), Layout(4, 2)]),
    st.floats(0.05, 20),
    st.floats(1, 4),
)
def test_more_memory_never_makes_a_layout_infeasible(
    model: str, accelerator: object, layout: Layout, size: float, more: float
) -> None:
    base = replace(setup(model, "H100", layout), accelerator=accelerator)
    memory = base.accelerator.memory * size
    small = fit(replace(base, accelerator=replace(base.accelerator, memory=int(memory))))
    large = fit(replace(base, accelerator=replace(base.accelerator, memory=int(memory * more))))
    assert large.ok or not small.ok
    assert large.sure or not small.sure
    assert large.cache.blocks >= small.cache.blocks
