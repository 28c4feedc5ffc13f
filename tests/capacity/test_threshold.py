"""Targets by hand, and the real scaling rules following them under a load that grows."""

import math

import pytest

from headrace.capacity.replicas import Reaction
from headrace.capacity.threshold import Growing, threshold
from headrace.scaling.decide import start, step
from headrace.scaling.policy import Policy, Trigger
from headrace.scaling.signals import Observation

SCRAPE = 15


def longest_wait(load: Growing, reaction: Reaction, trigger: Trigger, seconds: int = 1800) -> float:
    """Let the rate grow from where the fleet is 60 % busy, follow the rules, return the longest wait.

    Every second some requests come and are served; the rules see numbers that are a scrape old.
    """
    policy = Policy(min=load.replicas, max=1000, triggers=(trigger,))
    state, ready_at = start(policy, 0), [0.0] * load.replicas
    rate, queue, worst = 0.6 * load.total, 0.0, 0.0
    seen: list[tuple[float, float]] = []
    for now in range(seconds):
        ready = sum(at <= now for at in ready_at)
        able = ready * load.capacity
        served = min(able, queue + rate)
        queue = max(0.0, queue + rate - served)
        worst = max(worst, queue / able)
        seen.append((queue, served * load.residence))
        old = seen[max(0, now - SCRAPE)]
        decision = step(
            policy,
            state,
            Observation(
                now=now,
                held=0,
                queued=math.floor(old[0]),
                running=math.floor(old[1]),
                replicas=len(ready_at),
                ready=ready,
            ),
        )
        state = decision.state
        ready_at += [now + reaction.cold_start] * (decision.desired - len(ready_at))
        rate += load.growth / reaction.delay
    return worst


def test_a_queue_that_grows_slowly_tells_in_time() -> None:
    # total 8/s, allowed queue 8 * 10 = 80; slope 0.6 / 60 = 0.01: 80 is reached after
    # sqrt(2 * 80 / 0.01) = 126.5 s; 60 s before it is 0.005 * 66.5^2 = 22.1; / (1.1 * 4) = 5.02
    load = Growing(replicas=4, capacity=2, residence=5, growth=0.6, wait=10)
    made = threshold(load, Reaction(30))
    assert (made.signal, made.target) == ("waiting", 5.0)


def test_a_long_cold_start_needs_running_requests_counted() -> None:
    # 8 * 2 = 16 waiting after sqrt(2 * 16 / (2 / 210)) = 58 s, but help takes 210 s.
    # 8 - 2 = 6/s of 5 s each are 30 running, 7.5 a replica; 7.5 / 1.1 = 6.81
    load = Growing(replicas=4, capacity=2, residence=5, growth=2, wait=2)
    made = threshold(load, Reaction(180))
    assert (made.signal, made.target) == ("demand", 6.8)
    assert "leaves 25% of it free" in made.why
    assert "210 s until help comes" in made.why


def test_growth_beyond_the_fleet_needs_warm_replicas() -> None:
    made = threshold(Growing(replicas=1, capacity=2, residence=5, growth=3, wait=2), Reaction(180))
    assert made.signal is None
    assert "keep more of them warm" in made.why


def test_without_growth_the_queue_may_be_as_long_as_the_wait() -> None:
    # 2 * 2/s * 4 s = 16 waiting; / (1.1 * 2) = 7.27
    made = threshold(Growing(replicas=2, capacity=2, residence=5, growth=0, wait=4), Reaction(600))
    assert (made.signal, made.target) == ("waiting", 7.2)


@pytest.mark.parametrize(
    ("load", "cold_start"),
    [
        (Growing(replicas=4, capacity=2, residence=5, growth=0.6, wait=10), 30),
        (Growing(replicas=4, capacity=2, residence=5, growth=2, wait=2), 180),
        (Growing(replicas=2, capacity=10, residence=8, growth=4, wait=1.5), 277),
        (Growing(replicas=8, capacity=1.5, residence=20, growth=6, wait=2), 120),
    ],
)
def test_the_real_rules_bring_help_in_time(load: Growing, cold_start: float) -> None:
    reaction = Reaction(cold_start)
    made = threshold(load, reaction)
    assert made.signal is not None
    assert longest_wait(load, reaction, Trigger(made.signal, made.target)) <= load.wait
    # the target is not far too low either: three times it is too late
    assert longest_wait(load, reaction, Trigger(made.signal, 3 * made.target)) > load.wait


def test_a_target_on_the_queue_alone_would_be_too_late() -> None:
    load = Growing(replicas=4, capacity=2, residence=5, growth=2, wait=2)
    assert longest_wait(load, Reaction(180), Trigger("waiting", 1)) > 2 * load.wait
