"""Batching by hand: what an hour costs is shared by all who are served in it."""

import pytest

from headrace.capacity.cost_curve import curve, one_at_a_time
from headrace.capacity.efficiency import Efficiency
from headrace.capacity.fits import fit
from headrace.capacity.kv_pool import Pool
from headrace.capacity.lengths import Lengths
from headrace.capacity.setup import Setup
from headrace.capacity.steady import Steady
from headrace.hardware.catalogue import find_accelerator
from headrace.models.catalogue import need_known_model
from headrace.models.weight_bytes import weights_by_formula

ASSUMED = Efficiency(0.8, 0.7, 0.002, 0.4, error=0.3, label="assumed")
SHORT = Lengths.fixed(256, 64)


def llama_on_a100(lengths: Lengths, *, max_model_len: int = 8192) -> Steady:
    architecture = need_known_model("Llama-3.1-8B")
    setup = Setup(
        architecture,
        weights_by_formula(architecture),
        find_accelerator("A100-40GB"),
        max_model_len=max_model_len,
        max_num_seqs=256,
        max_num_batched_tokens=2048,
    )
    return Steady(setup, ASSUMED, Pool.of(fit(setup).cache), lengths)


def test_a_lone_request_pays_for_reading_all_weights() -> None:
    # 15.0 GB are read for each token at 0.8 x 1.555 TB/s, 2 ms on top: 14.1 ms; 64 of them and the
    # prompt's reading, 256 x 14 GFLOP at 0.7 x 312 TFLOP/s = 16 ms, shorter than reading the weights:
    # about 0.91 s a request, 3 / 3600 * 0.91 * 1000 = 0.76 for 1,000
    found = one_at_a_time(llama_on_a100(SHORT), SHORT, 3.0)
    assert found is not None
    assert found.thousand_requests == pytest.approx(0.76, rel=0.05)


def test_who_shares_steps_pays_less_and_waits_more() -> None:
    points = curve(llama_on_a100(SHORT), SHORT, 3.0)
    costs = [point.cost.thousand_requests for point in points]
    assert costs == sorted(costs, reverse=True)
    assert [point.state.tpot for point in points] == sorted(point.state.tpot for point in points)
    for point in points:
        assert point.cost.thousand_requests == pytest.approx(3 / (3.6 * point.state.rate))


def test_forty_requests_a_second_from_one_a100_are_within_reach_of_short_answers() -> None:
    # the well-known 40 requests/s for $3 an hour: true of 256 tokens in and 64 out, not of chats
    # of 1,000 and 300
    [point] = curve(llama_on_a100(SHORT), SHORT, 3.0, shares=[0.95])
    assert point.state.rate == pytest.approx(40, rel=0.3)
    chat = Lengths.fixed(1000, 300)
    [point] = curve(llama_on_a100(chat), chat, 3.0, shares=[0.95])
    assert point.state.rate < 10
