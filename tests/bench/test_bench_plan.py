from itertools import pairwise

import msgspec
import pytest
from bench.messages import Job
from bench.plan import SCENARIOS, Scenario, order, shortened
from bench.processes import Cores, divide
from bench.schedule import Kind, arrivals

JOB = Job(targets=[], streams=10, tokens=5, gap=0.1, arrivals=10, seed=1)


def test_orders_rotate() -> None:
    names = ["a", "b", "c"]
    assert [order(names, repeat) for repeat in range(4)] == [
        ["a", "b", "c"],
        ["b", "c", "a"],
        ["c", "a", "b"],
        ["a", "b", "c"],
    ]
    assert order([], 1) == []


@pytest.mark.parametrize(
    "scenario", [s for s in SCENARIOS if s.job.stream_rate], ids=lambda s: s.name
)
def test_steady_loads_hold_as_many_streams_as_they_say(scenario: Scenario) -> None:
    # Little's law: open streams = rate x time each is open.
    job = scenario.job
    assert job.stream_rate * job.tokens * job.gap == pytest.approx(job.streams)
    assert job.arrivals >= job.tokens * job.gap  # long enough to build up
    assert shortened(scenario).job.arrivals >= job.tokens * job.gap


def test_chunks_per_second_stay_below_what_one_core_can_carry() -> None:
    assert max(s.job.streams / s.job.gap for s in SCENARIOS) == pytest.approx(10_000)


def test_arrivals_repeat_with_their_seed_and_only_then() -> None:
    job = msgspec.structs.replace(JOB, small_rate=50.0)
    assert arrivals(job) == arrivals(job)
    assert arrivals(job) != arrivals(msgspec.structs.replace(job, seed=2))


def test_arrivals_come_at_about_their_rate_in_order() -> None:
    plan = arrivals(msgspec.structs.replace(JOB, small_rate=200.0))
    # Poisson: 2,000 expected, standard deviation 45; six of them are no accident.
    assert 1730 < len(plan) < 2270
    assert all(earlier[0] <= later[0] for earlier, later in pairwise(plan))
    assert all(0 <= at < 10 for at, _ in plan)


def test_big_requests_fall_where_all_streams_run() -> None:
    plan = arrivals(msgspec.structs.replace(JOB, together=True, big_rate=4.0))
    streams = [at for at, kind in plan if kind is Kind.STREAM]
    big = [at for at, kind in plan if kind is Kind.BIG]
    assert len(streams) == 10
    assert len(big) == 32  # 4 a second for eight of ten seconds
    assert max(streams) <= 1 <= min(big)
    assert max(big) <= 9 + 1e-9


@pytest.mark.parametrize(
    ("cores", "expected"),
    [
        ({0, 1, 2, 3}, (3, 2, 1)),
        ({0, 1}, (1, 0, 0)),
        ({5}, (5, 5, 5)),
    ],
)
def test_the_proxy_gets_a_core_of_its_own(cores: set[int], expected: tuple[int, int, int]) -> None:
    assert divide(cores) == Cores(*(frozenset({core}) for core in expected))


def test_sharing_cores_is_said() -> None:
    assert str(divide({0, 1})) == "proxy alone on core 1, client and back end on core 0"
    assert "one core for everything" in str(divide({0}))
