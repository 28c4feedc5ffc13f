"""The clock, the log and the pause button around the rules; the rules themselves are tested in tests/scaling."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from headrace.fleet.types import RatePolicy, Scaling, ScalingDirection, Trigger
from headrace.gateway.control import Demand
from headrace.local.autoscale import Autoscaler, observe
from headrace.local.journal import Journal
from headrace.scaling.decide import Decision
from headrace.scaling.from_fleet import policy_of
from headrace.scaling.policy import Direction
from headrace.scaling.policy import RatePolicy as PolicyRate


@dataclass
class Bench:
    """An autoscaler on a clock that the test moves."""

    folder: Path
    scaling: Scaling
    now: float = 1000.0
    counts: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        journal = Journal(self.folder / "decisions.jsonl")
        self.scaler = Autoscaler("chat", self.scaling, self.apply, journal, lambda: self.now)

    def apply(self, decision: Decision) -> None:
        self.counts.append(decision.desired)

    def at(self, seconds: float, waiting: int, running: int = 0, ready: int = 1) -> int:
        self.now = 1000.0 + seconds
        self.scaler.hear(demand(waiting, running), ready)
        self.scaler.step()
        return self.scaler.desired

    def log(self) -> list[dict[str, object]]:
        lines = (self.folder / "decisions.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]


def demand(waiting: int, running: int = 0) -> Demand:
    return Demand(
        deployment="chat", held=waiting, queued=0, running=running, arrived=0, replicas={}
    )


def scaling(low: int, high: int, **more: object) -> Scaling:
    given = {"min": low, "max": high, "initial": low, "polling_interval": "5s", "sync_period": "5s"}
    triggers = [{"signal": "waiting", "target": 5}]
    return Scaling.model_validate({**given, "cooldown": "10s", "triggers": triggers, **more})


def test_a_trigger_of_a_route_sees_its_work_only_and_the_log_names_it(tmp_path: Path) -> None:
    triggers = [{"signal": "demand", "target": 5, "route": "docs"}]
    bench = Bench(tmp_path, scaling(1, 4, triggers=triggers))
    busy = msgspec.structs.replace(demand(30, 6), routes={"chat": (28, 6), "docs": (2, 0)})
    bench.scaler.hear(busy, 1)
    bench.scaler.step()
    assert bench.scaler.desired == 1
    bench.now += 5
    bench.scaler.hear(msgspec.structs.replace(busy, routes={"docs": (7, 3)}), 1)
    bench.scaler.step()
    assert bench.scaler.desired == 2
    last = bench.log()[-1]
    assert last["reason"] == "10 demand of route docs / target 5 per replica = 2 replicas"
    assert isinstance(last["inputs"], dict)
    assert last["inputs"]["routes"] == {"docs": [7, 3]}


def test_the_files_scaling_becomes_the_policy_of_the_same_numbers() -> None:
    given = Scaling(
        min=1,
        max=7,
        triggers=(Trigger(signal="demand", target=16, activation=2),),
        down=ScalingDirection(
            window="1m",  # type: ignore[arg-type]
            policies=(RatePolicy(kind="percent", value=50, period="1500ms"),),  # type: ignore[arg-type]
            select="min",
        ),
    )
    policy = policy_of(given)
    assert policy is not None
    assert (policy.min, policy.max, policy.cooldown, policy.polling_interval) == (1, 7, 300, 30)
    (trigger,) = policy.triggers
    assert (trigger.signal, trigger.target, trigger.activation) == ("demand", 16, 2)
    assert policy.scale_up is None
    assert policy.scale_down == Direction(60, (PolicyRate("percent", 50, 2),), "min")


def test_an_idle_deployment_wakes_at_the_first_arrival_without_waiting_for_a_poll(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path, scaling(0, 2))
    assert bench.at(0, 0, ready=0) == 0
    bench.now += 0.1
    bench.scaler.hear(demand(1), 0)
    assert bench.counts == [1]
    assert bench.scaler.desired == 1


def test_waiting_work_asks_for_more_and_idleness_ends_at_zero(tmp_path: Path) -> None:
    bench = Bench(tmp_path, scaling(0, 4, down={"window": "1ms"}))
    assert bench.at(0, 0, ready=0) == 0
    bench.scaler.hear(demand(12), 0)
    assert bench.scaler.desired == 1
    assert bench.at(5, 12) == 3  # 12 waiting / 5 for each replica, rounded up
    assert bench.at(10, 0, ready=3) == 1  # the window is over: the HPA's minimum
    assert bench.at(15, 0) == 1  # 10 s since the last activity at 5 s are not exceeded
    assert bench.at(20, 0) == 0
    assert bench.counts == [1, 3, 1, 0]


def test_a_request_between_two_polls_is_activity(tmp_path: Path) -> None:
    triggers = [{"signal": "demand", "target": 5}]
    bench = Bench(tmp_path, scaling(0, 2, initial=1, triggers=triggers))
    bench.at(0, 0)
    for begun in range(2, 60, 5):  # each a fifth of a second long; polls are at 5, 10, 15 …
        for seconds, running in ((begun, 1), (begun + 0.2, 0)):
            bench.now = 1000.0 + seconds
            bench.scaler.hear(demand(0, running), 1)
        assert bench.at(begun + 3, 0) == 1
    assert [bench.at(seconds, 0) for seconds in (65, 70)] == [1, 0]  # the last was at 57


def test_requests_keep_it_awake_though_the_trigger_counts_only_those_that_wait(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path, scaling(0, 2, initial=1))
    for begun in range(2, 60, 5):  # each a fifth of a second long, between polls at 5, 10, 15 …
        bench.at(begun, 0)
        bench.now += 0.2
        bench.scaler.hear(demand(0, 1), 1)
    assert bench.at(66, 0) == 1
    bench.scaler.hear(demand(0, 1), 1)  # a long one, across many cooldowns of 10 s
    for seconds in range(70, 200, 5):
        bench.now = 1000.0 + seconds
        bench.scaler.step()
    assert bench.scaler.desired == 1
    assert [bench.at(seconds, 0) for seconds in (205, 210)] == [1, 0]


def test_replicas_that_never_get_ready_bring_no_cascade(tmp_path: Path) -> None:
    bench = Bench(tmp_path, scaling(1, 50))
    counts = [bench.at(5.0 * step, 22, ready=0) for step in range(100)]
    assert max(counts) == 5  # 22 / 5


def test_unknown_demand_moves_nothing_down(tmp_path: Path) -> None:
    bench = Bench(tmp_path, scaling(0, 4, down={"window": "1ms"}))
    bench.at(0, 12, ready=0)
    bench.at(5, 12)
    for seconds in range(10, 100, 5):
        bench.now = 1000.0 + seconds
        bench.scaler.hear(None, 3)
        bench.scaler.step()
    assert bench.scaler.desired == 3


def test_a_pause_holds_the_count_and_auto_gives_it_back(tmp_path: Path) -> None:
    bench = Bench(tmp_path, scaling(1, 4, down={"window": "1ms"}))
    bench.scaler.pause(3)
    assert bench.scaler.paused
    assert bench.at(5, 100) == 3
    bench.scaler.pause(None)
    assert not bench.scaler.paused
    assert bench.at(10, 0, ready=3) == 1


def test_no_triggers_means_a_fixed_count(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Scaling(min=2, max=2, triggers=()))
    assert [bench.at(5.0 * step, 10_000) for step in range(5)] == [2] * 5
    assert bench.scaler.why == "the count is fixed at 2"
    assert {one["reason"] for one in bench.log()} == {"the count is fixed at 2"}


def test_the_log_has_the_first_decision_changes_and_their_inputs_but_no_repetition(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path, scaling(1, 4))
    for step in range(20):
        bench.at(5.0 * step, 0)
    quiet = len(bench.log())
    assert 1 <= quiet <= 2
    bench.at(200, 12)
    last = bench.log()[-1]
    assert len(bench.log()) == quiet + 1
    assert (last["deployment"], last["before"], last["desired"]) == ("chat", 1, 3)
    assert last["inputs"]["held"] == 12  # type: ignore[index]
    assert "12 waiting" in str(last["reason"])


@pytest.mark.parametrize(("desired", "ready", "replicas"), [(2, 1, 2), (1, 2, 2), (0, 0, 0)])
def test_what_is_asked_for_counts_as_replicas(desired: int, ready: int, replicas: int) -> None:
    seen = observe(demand(1), desired, ready, 5.0)
    assert (seen.replicas, seen.ready) == (replicas, ready)


def test_a_fleet_that_may_rest_begins_with_one_replica_and_rests_a_cooldown_after_it_was_ready(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path, scaling(0, 2, initial=None))
    assert bench.at(0, 0, ready=0) == 1
    assert bench.at(40, 0, ready=0) == 1  # still starting: longer than the cooldown of 10 s
    assert bench.at(45, 0, ready=1) == 1
    assert bench.at(50, 0, ready=1) == 1
    assert bench.at(60, 0, ready=1) == 0
