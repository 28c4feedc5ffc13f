"""A closed loop keeps Little's law, and saturates where the replica does."""

from __future__ import annotations

import pytest
from planned import setup

from headrace.capacity.closed_loop import closed_loop
from headrace.capacity.efficiency import Efficiency
from headrace.capacity.kv_pool import Pool
from headrace.capacity.lengths import Lengths
from headrace.capacity.steady import Steady

USUAL = Efficiency(0.9, 0.9, 1e-3, 1.0, error=0.0, label="", per_sequence=2e-5)


def replica(blocks: int = 40_000, seqs: int = 64) -> Steady:
    return Steady(setup(max_num_seqs=seqs), USUAL, Pool(blocks), Lengths.fixed(600, 200))


@pytest.mark.parametrize("clients", [1, 4, 16, 40])
def test_rate_times_time_are_the_clients(clients: int) -> None:
    state = closed_loop(replica(), clients)
    assert state is not None
    assert state.rate * state.e2e == pytest.approx(clients, rel=0.02)


def test_more_clients_than_it_serves_do_not_make_it_faster() -> None:
    steady = replica(seqs=16)
    many, more = closed_loop(steady, 200), closed_loop(steady, 400)
    assert many is not None
    assert many == more
    assert many.rate == pytest.approx(steady.highest_rate, rel=0.01)


def test_a_replica_that_holds_nothing_has_no_state() -> None:
    assert closed_loop(replica(blocks=3), 1) is None
