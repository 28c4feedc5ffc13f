"""The simulation of policies, small; its engine against arithmetic by hand."""

from __future__ import annotations

import math
from random import Random

import pytest
from bench.routing import choosing, traffic
from bench.routing import engine as engines
from bench.routing.engine import Engine, Request
from bench.routing.simulate import Outcome, simulate


def serve(engine: Engine, *requests: Request) -> None:
    for request in requests:
        while (at := engine.next_event()) <= request.arrives:
            engine.advance(at)
        engine.advance(request.arrives)
        engine.take(request)
    while (at := engine.next_event()) < math.inf:
        engine.advance(at)


def test_an_engine_reads_then_speaks() -> None:
    """4096 tokens are two steps; then 10 steps with one answer and 4106 tokens in the cache."""
    one = Request(0.0, 4096, 10, (1, 2, 3, 4, 5, 6, 7, 8), 1)
    serve(Engine(0), one)
    resident = 4106 * engines.RESIDENT
    reading = 2 * (2048 / engines.PREFILL + engines.STEP + resident)
    speaking = 10 * (engines.STEP + engines.EACH + resident)
    assert one.first == pytest.approx(reading)
    assert one.ended == pytest.approx(reading + speaking)


def test_an_engine_reads_one_after_the_other_and_knows_what_it_has_read() -> None:
    blocks = (1, 2, 3, 4, 5, 6, 7, 8)
    first, second = Request(0.0, 4096, 1, blocks, 1), Request(0.0, 4200, 1, blocks, 1)
    other = Request(0.0, 4096, 1, tuple(range(10, 18)), 1)
    engine = Engine(0)
    serve(engine, first, second, other)
    assert [one.hit for one in (first, second, other)] == [0, 4096, 0]
    assert first.first < second.first < other.first
    assert (engine.resident, dict(engine.held)) == (0, {})


def test_an_engine_without_room_for_a_second_request_lets_it_wait() -> None:
    first, second = Request(0.0, 600, 50, (1,), 1), Request(0.0, 600, 50, (2,), 1)
    engine = Engine(0, cache=1000)
    serve(engine, first, second)
    assert second.first > first.ended
    assert len(engine.blocks) == 1


def run(requests: list[Request], load: float, *policies: str) -> list[Outcome]:
    return [simulate(traffic.at_load(requests, 8, load), policy, 8) for policy in policies]


def test_affinity_pays_where_caches_decide() -> None:
    ours, blind, hashed, fewest, turns = run(
        *(traffic.conversations(5, 1200), 0.9),
        *("ours", "least work", "consistent hashing", "least connections", "round robin"),
    )
    assert ours.mean * 3 < blind.mean
    assert ours.mean * 3 < min(fewest.mean, turns.mean)
    assert ours.mean < hashed.mean
    assert ours.hit > max(hashed.hit, 2 * blind.hit)


def test_affinity_costs_nothing_where_nothing_is_shared() -> None:
    ours, blind, fewest = run(
        traffic.strangers(5, 1200), 0.7, "ours", "least work", "least connections"
    )
    assert ours.hit == 0
    assert ours.mean < 1.03 * blind.mean
    assert ours.mean < fewest.mean


def test_a_hot_prefix_starves_nobody() -> None:
    ours, blind, hashed = run(traffic.hot(5, 1200), 2.0, "ours", "least work", "consistent hashing")
    assert ours.busiest < 1.3
    assert ours.mean < 1.03 * blind.mean
    assert ours.p99 < hashed.p99


def test_each_policy_does_what_it_is_called() -> None:
    """Three rounds of 8 requests of two conversations, a minute apart: all replicas are idle."""
    went = {}
    for policy in ("round robin", "consistent hashing", "least work"):
        requests = [Request(60.0 * number, 1000, 10, (), number % 2) for number in range(24)]
        simulate(requests, policy, 8)
        went[policy] = [one.replica for one in requests]
    assert went["round robin"] == list(range(8)) * 3
    one, two = went["consistent hashing"][:2]
    assert went["consistent hashing"] == [one, two] * 12
    assert went["least work"] == [0] * 24


def test_choosing_among_256_takes_less_than_100_microseconds() -> None:
    """By the better half of the requests, so that a busy machine is not taken for a slow choice."""
    for kind in choosing.KINDS:
        _, best = choosing.timed(choosing.scene(256, kind, Random(1)), 200)
        assert best[100] < 100


@pytest.mark.parametrize("make", [traffic.conversations, traffic.hot, traffic.strangers])
def test_traffic_is_the_same_each_time(make: object) -> None:
    assert callable(make)
    one, two = ([(r.arrives, r.blocks) for r in make(3, 200)] for _ in range(2))
    assert one == two
    assert [at for at, _ in one] == sorted(at for at, _ in one)
