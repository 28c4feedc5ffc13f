"""Both loops together: stories with their times, worked by hand from the published rules."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from headrace.scaling.decide import Author, State, activated, due, start, step
from headrace.scaling.policy import Direction, Policy, RatePolicy, Trigger
from headrace.scaling.signals import Observation

SLOWLY = Direction(policies=(RatePolicy("replicas", 1, 60),))


def policy(**fields: Any) -> Policy:
    return Policy(**{"min": 0, "max": 10, "triggers": (Trigger("waiting", 5),), **fields})


def seen(
    now: float, state: State, waiting: int = 0, running: int = 0, *, held: int = 0
) -> Observation:
    return Observation(
        now=now, held=held, queued=waiting, running=running, replicas=state.spec, ready=0
    )


def run(
    policy: Policy, state: State, load: Callable[[int], int], until: int, begin: int = 0
) -> tuple[list[tuple[int, int, int, Author]], State]:
    """Step every second; return the changes as (second, before, desired, by)."""
    changes = []
    for now in range(begin, until + 1):
        waiting = load(now)
        decision = step(policy, state, seen(now, state, waiting))
        state = decision.state
        if decision.changed:
            changes.append((now, decision.before, decision.desired, decision.by))
    return changes, state


def test_keda_wakes_one_and_the_hpa_doubles_it_without_a_behavior() -> None:
    # polls at 0, 30; syncs at 0, 15, 30...; work arrives at 20; 1 -> max(2*1, 4) -> 8 -> max 10
    changes, _ = run(policy(), start(policy(), 0), lambda now: 1000 * (now >= 20), 90)
    assert changes == [(30, 0, 1, "keda"), (45, 1, 4, "hpa"), (60, 4, 8, "hpa"), (75, 8, 10, "hpa")]


def test_idle_goes_from_n_to_zero_when_the_cooldown_is_over() -> None:
    # busy until 59: last active poll at 30; 30 + 60 < 120 is the first poll strictly after
    made = policy(cooldown=60)
    changes, state = run(made, start(made, 0, 3), lambda now: 15 * (now < 60), 400)
    assert changes == [(120, 3, 0, "keda")]
    assert state.activity.last_active == 30


def test_with_a_longer_cooldown_the_hpa_reaches_one_first() -> None:
    # last recommendation of 3 at 45; it counts up to 345 inclusive, so at 360 the HPA goes to 1
    made = policy(cooldown=600)
    changes, _ = run(made, start(made, 0, 3), lambda now: 15 * (now < 60), 700)
    assert changes == [(360, 3, 1, "hpa"), (660, 1, 0, "keda")]


def test_a_long_answer_is_not_idleness_though_nothing_waits() -> None:
    # one request runs from 5 to 700 and nothing ever waits, which is all that the trigger counts
    made = policy(polling_interval=20, initial_cooldown=300)
    state, changes = start(made, 0, 1), []
    for now in range(1200):
        decision = step(made, state, seen(now, state, running=int(5 <= now < 700)))
        state = decision.state
        if decision.changed:
            changes.append((now, decision.before, decision.desired, decision.by))
        if now == 640:  # no sync then
            assert decision.reason.endswith("activation 0; but requests run: keep 1 replica")
    assert changes == [(1000, 1, 0, "keda")]  # the last poll that saw it: 680; 680 + 300 < 1000


def test_what_still_runs_on_replicas_that_go_wakes_nothing() -> None:
    asleep = step(policy(), start(policy(), 0), seen(0, start(policy(), 0))).state
    assert step(policy(), asleep, seen(30, asleep, running=3)).desired == 0
    assert activated(policy(), asleep, seen(1, asleep, running=3)).desired == 0


def test_one_more_per_minute() -> None:
    made = policy(min=1, max=3, scale_up=SLOWLY)
    changes, _ = run(made, start(made, 0), lambda _: 1000, 200)
    assert changes == [(0, 1, 2, "hpa"), (60, 2, 3, "hpa")]


def test_a_burst_takes_a_small_machine_to_two_and_the_silence_after_it_to_none() -> None:
    # 30 requests at 5, of which a replica runs 8; they end at 200. Cooldown above window + 2 syncs.
    # push at 5; 30/8 -> 4 > max 2 at the sync of 15. Last wish of 4: sync at 195, so at 255 (a window
    # of 60 later, which no longer counts) 2 -> 1; last active poll at 180, so after 300: poll at 330.
    made = Policy(
        min=0,
        max=2,
        triggers=(Trigger("demand", 8),),
        cooldown=120,
        scale_down=Direction(stabilization_window=60),
    )
    state, changes = start(made, 0), []
    for now in range(400):
        act = activated if now == 5 else step
        decision = act(made, state, seen(now, state, 30 * (5 <= now < 200)))
        state = decision.state
        if decision.changed:
            changes.append((now, decision.before, decision.desired, decision.by))
    assert changes == [
        (5, 0, 1, "push"),
        (15, 1, 2, "hpa"),
        (255, 2, 1, "hpa"),
        (330, 1, 0, "keda"),
    ]


def test_the_loops_keep_their_own_periods_however_often_it_is_called() -> None:
    made = policy(min=1, sync_period=20, polling_interval=30)
    state = start(made, 0)
    authors = []
    for tenth in range(690):
        decision = step(made, state, seen(tenth / 10, state))
        state = decision.state
        if decision.by != "nobody":
            authors.append((tenth / 10, state.last_sync, state.last_poll))
    assert authors == [(0, 0, 0), (20, 20, 0), (30, 20, 30), (40, 40, 30), (60, 60, 60)]


def test_due_tells_when_to_call_next() -> None:
    made = policy(min=1)
    state = start(made, 7)
    assert due(made, state) == 7
    state = step(made, state, seen(7, state)).state
    assert due(made, state) == 22
    resting = step(made, state, seen(21.9, state))
    assert (resting.by, resting.state) == ("nobody", state)
    assert "22 s" in resting.reason


def test_a_late_call_runs_a_loop_once() -> None:
    made = policy(min=1)
    state = step(made, start(made, 0), seen(0, start(made, 0))).state
    state = step(made, state, seen(100, state)).state
    assert (state.last_sync, state.last_poll) == (100, 100)


def test_an_arrival_wakes_at_once_and_keeps_the_polls_in_step() -> None:
    made = policy()
    asleep = step(made, start(made, 0), seen(0, start(made, 0))).state
    decision = activated(made, asleep, seen(1, asleep, held=1))
    assert (decision.desired, decision.changed, decision.by) == (1, True, "push")
    assert decision.state.last_poll == 0
    assert decision.state.activity.last_active == 1
    assert activated(made, decision.state, seen(2, decision.state, held=2)).changed is False


def test_a_missing_metric_holds_everything() -> None:
    made = policy(cooldown=10)
    state = start(made, 0, 3)
    for now in range(0, 1000, 5):
        blind = Observation(now=now, held=0, queued=None, running=0, replicas=3, ready=3)
        state = step(made, state, blind).state
        assert state.spec == 3


def test_signals_are_held_queued_and_running_as_named() -> None:
    one = Observation(now=0, held=1, queued=2, running=4, replicas=1, ready=1)
    signals = (Trigger("waiting", 1), Trigger("running", 1), Trigger("demand", 1))
    assert [one.value(signal) for signal in signals] == [3, 4, 7]
    blind = replace(one, running=None)
    assert [blind.value(signal) for signal in signals] == [3, None, None]


def test_a_trigger_of_a_route_counts_its_requests_only() -> None:
    one = Observation(now=0, held=1, queued=2, running=4, replicas=1, ready=1)
    signals = [Trigger(name, 1, route="chat") for name in ("waiting", "running", "demand")]
    assert [one.value(signal) for signal in signals] == [None, None, None]
    told = replace(one, routes={"chat": (2, 1), "other": (1, 3)})
    assert [told.value(signal) for signal in signals] == [2, 1, 3]
    assert [replace(told, routes={}).value(signal) for signal in signals] == [0, 0, 0]


def test_work_of_another_route_neither_wakes_nor_adds_replicas() -> None:
    made = policy(min=0, triggers=(Trigger("demand", 2, route="chat"),))
    seen = Observation(now=1, held=9, queued=0, running=0, replicas=0, ready=0)
    other = activated(made, start(made, 0, 0), replace(seen, routes={"other": (9, 0)}))
    assert (other.desired, other.reason) == (
        0,
        "0 demand of route chat not above activation 0",
    )
    own = activated(made, start(made, 0, 0), replace(seen, routes={"chat": (9, 0)}))
    assert (own.desired, own.reason) == (
        1,
        "9 demand of route chat above activation 0: wake to 1 replica",
    )


@pytest.mark.parametrize(
    ("fields", "words"),
    [({"held": -1}, "held is -1"), ({"ready": 3}, "3 of 2"), ({"replicas": -1, "ready": -1}, "-1")],
)
def test_an_impossible_observation_is_refused(fields: dict[str, int], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Observation(
            **{"now": 0, "held": 0, "queued": 0, "running": 0, "replicas": 2, "ready": 1, **fields}
        )


class TestPause:
    made = policy(paused_at=4)

    def test_it_holds_the_count_whatever_the_demand(self) -> None:
        changes, _ = run(self.made, start(self.made, 0, 2), lambda now: now, 100)
        assert changes == [(0, 2, 4, "pause")]

    def test_arrivals_do_not_wake_it(self) -> None:
        made = policy(paused_at=0)
        state = start(made, 0, 0)
        assert activated(made, state, seen(0, state, held=9)).desired == 0

    def test_the_memory_of_the_hpa_goes_with_it(self) -> None:
        _, state = run(policy(scale_up=SLOWLY), start(policy(), 0, 2), lambda _: 99, 50)
        assert state.history.ups
        after = step(self.made, state, seen(51, state)).state
        assert after == State(spec=4, activity=state.activity)


class TestReasons:
    def reason(
        self, made: Policy, spec: int, waiting: int, now: float = 0, running: int = 0, **fields: Any
    ) -> str:
        state = replace(start(made, 0, spec), **fields)
        return step(made, state, seen(now, state, waiting, running)).reason

    def test_bounds_and_rates(self) -> None:
        made = policy(max=2, scale_up=SLOWLY)
        assert self.reason(made, 1, 22) == (
            "22 waiting / target 5 per replica = 5 replicas; max is 2; scale-up allowed +1 per 60 s"
        )

    def test_the_older_limit(self) -> None:
        assert "; scale-up allowed to 4 in one step" in self.reason(policy(), 1, 22)

    def test_several_rates(self) -> None:
        made = policy(max=100, scale_up=Direction())
        text = "scale-up allowed the largest of +4 per 15 s, +100 % per 15 s"
        assert text in self.reason(made, 1, 222)

    def test_disabled(self) -> None:
        made = policy(scale_up=Direction(select="disabled"))
        assert self.reason(made, 1, 22).endswith("; scale-up is disabled")

    def test_tolerance(self) -> None:
        made = policy(min=1)
        assert self.reason(made, 2, 10, 1) == (
            "10 waiting is 1 of target 5 per replica x 2 replicas, within the tolerance"
        )

    def test_window(self) -> None:
        made = policy(min=1)
        assert self.reason(made, 3, 5) == (
            "5 waiting / target 5 per replica = 1 replica; scale-down waits: over 300 s it may be 3"
        )

    def test_min_and_max(self) -> None:
        assert "min is 2" in self.reason(policy(min=2), 1, 0)
        assert "max is 10" in self.reason(policy(), 11, 0)

    def test_wake_sleep_and_cooldown(self) -> None:
        made = policy(cooldown=60)
        assert self.reason(made, 0, 3) == "3 waiting above activation 0: wake to 1 replica"
        active = replace(start(made, 0).activity, last_active=10)
        assert self.reason(made, 3, 0, 80, activity=active).endswith(
            "0 waiting not above activation 0; inactive for 70 s, cooldown of 60 s over: 3 to 0"
        )
        assert self.reason(made, 3, 0, 30, activity=active, last_sync=20).endswith(
            "inactive for 20 s, cooldown of 60 s not over: keep 3 replicas"
        )

    def test_missing(self) -> None:
        state = start(policy(), 0, 2)
        blind = Observation(now=0, held=None, queued=0, running=0, replicas=2, ready=2)
        assert step(policy(), state, blind).reason == (
            "waiting is unknown; a missing number lowers nothing: keep 2 replicas"
        )
        assert "neither wakes" in step(policy(), start(policy(), 0), blind).reason


def test_a_decision_is_json_and_its_state_survives_it() -> None:
    made = policy(scale_up=SLOWLY)
    _, state = run(made, start(made, 0, 1), lambda now: now, 100)
    decision = step(made, state, seen(101, state, 7))
    logged = json.loads(json.dumps(decision.entry()))
    assert logged["desired"] == decision.desired
    assert logged["inputs"]["queued"] == 7
    assert "state" not in logged
    assert msgspec.json.decode(msgspec.json.encode(decision.state), type=State) == decision.state
