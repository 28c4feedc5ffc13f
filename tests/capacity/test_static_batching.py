import numpy as np
import pytest
from planned import PERFECT, setup

from headrace.capacity.batching import serve
from headrace.capacity.efficiency import Efficiency
from headrace.capacity.kv_pool import Pool
from headrace.capacity.roofline import Batch, Roofline, chunk_pairs
from headrace.capacity.static_batching import batch_time, serve_static
from headrace.traffic.traffic import Traffic


def test_a_batch_is_padded_and_waits_for_its_longest() -> None:
    engine = Roofline(setup(), PERFECT)
    by_hand = engine.step(Batch(prompt=4 * 100, pairs=4 * chunk_pairs(100)))
    by_hand += sum(engine.step(Batch(4, 4 * (100 + done))) for done in range(1, 50))
    assert batch_time(engine, 4, 100, 50) == pytest.approx(by_hand, rel=1e-9)


def test_nobody_is_answered_before_the_batch_ends_and_late_ones_wait() -> None:
    traffic = Traffic(
        np.array([0.0, 0.0, 0.1, 100.0]), np.array([50, 100, 10, 10]), np.array([5, 50, 8, 8]), "x"
    )
    served = serve_static(traffic, setup(), PERFECT, size=2)
    engine = Roofline(setup(), PERFECT)
    first = batch_time(engine, 2, 100, 50)
    second = batch_time(engine, 1, 10, 8)
    assert served.last.tolist() == pytest.approx([first, first, first + second, 100.0 + second])
    assert served.first.tolist() == served.last.tolist()
    assert served.started.tolist() == pytest.approx([0.0, 0.0, first, 100.0])


def test_a_batch_of_nobody() -> None:
    traffic = Traffic(np.zeros(1), np.ones(1, int), np.ones(1, int), "x")
    with pytest.raises(ValueError, match="at least 1"):
        serve_static(traffic, setup(), PERFECT, size=0)


def test_continuous_batching_wins_most_where_lengths_differ() -> None:
    random = np.random.default_rng(1)
    count = 400
    usual = Efficiency(0.9, 0.9, 1e-3, 1.0, error=0.0, label="")

    def gain(prompts: np.ndarray, outputs: np.ndarray) -> float:
        traffic = Traffic(np.zeros(count), prompts, outputs, "x")
        static = serve_static(traffic, setup(), usual, size=8)
        flags = setup(max_num_seqs=8)
        return float(static.last.max() / serve(traffic, flags, usual, Pool(4000)).last.max())

    alike = gain(np.full(count, 200), np.full(count, 100))
    spread = gain(
        np.maximum(random.exponential(200, count), 1).astype(int),
        np.maximum(random.exponential(100, count), 1).astype(int),
    )
    assert alike == pytest.approx(1.0, abs=0.1)  # eight at once either way, and nobody waits
    # The longest of 8 exponential answers is 1 + 1/2 + ... + 1/8 = 2.7 times the mean.
    assert spread == pytest.approx(2.7, rel=0.15)
