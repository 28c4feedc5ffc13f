"""Figures of traffic, by hand on small ones."""

from pathlib import Path

import numpy as np
import pytest

from headrace.traffic.importers import read_traffic
from headrace.traffic.lengths import length_at, lengths, summarise
from headrace.traffic.traffic import Traffic

RECORDED = Path(__file__).parents[1] / "recorded"


def traffic(arrivals: list[float], prompts: list[int] | None = None) -> Traffic:
    tokens = np.array(prompts or [1] * len(arrivals), np.int64)
    return Traffic(np.array(arrivals, np.float64), tokens, tokens * 2, "test")


def test_a_quantile_is_the_length_of_a_request() -> None:
    counts = np.array([40, 10, 30, 20], np.int64)
    assert [length_at(counts, share) for share in (0, 0.25, 0.26, 0.5, 0.51, 1)] == [
        10, 10, 20, 20, 30, 40,
    ]  # fmt: skip


def test_lengths_of_a_hundred() -> None:
    found = lengths(np.arange(100, 0, -1))
    assert (found.p50, found.p90, found.p99, found.longest, found.mean) == (50, 90, 99, 100, 50.5)


def test_totals_are_of_each_request() -> None:
    found = summarise(traffic([0, 1, 2], [5, 1, 3]))
    assert (found.prompt.longest, found.output.longest, found.total.longest) == (5, 10, 15)
    assert found.total.p50 == 9


def test_rate_counts_the_gaps() -> None:
    found = summarise(traffic([0, 2, 4, 6, 8]))
    assert (found.count, found.duration, found.rate) == (5, 8, 0.5)
    assert found.cv == 0  # evenly


def test_cv_is_deviation_over_mean_of_the_gaps() -> None:
    # gaps 1 and 3: mean 2, deviation 1
    assert summarise(traffic([0, 1, 4])).cv == 0.5


def test_the_peak_is_the_busiest_minute_over_the_mean_one() -> None:
    # minutes of 1, 4 and 1 requests: 4 over 2
    assert summarise(traffic([0, 60, 61, 62, 119.9, 120])).peak == 2


def test_a_quiet_minute_counts_in_the_mean() -> None:
    # minutes of 3, 0 and 1: 3 over 4/3
    assert summarise(traffic([0, 1, 2, 150])).peak == pytest.approx(9 / 4)


@pytest.mark.parametrize("arrivals", [[0.0], [0.0, 0.0, 0.0]])
def test_all_at_once_has_no_rate(arrivals: list[float]) -> None:
    found = summarise(traffic(arrivals))
    assert (found.rate, found.cv, found.peak, found.duration) == (0, 0, 1, 0)


def test_runs_of_real_engines_are_read() -> None:
    run = read_traffic(RECORDED / "RTX4090.jsonl")
    assert run.count == 300
    assert (run.prompts[0], run.outputs[0]) == (2358, 531)
