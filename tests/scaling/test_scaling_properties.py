"""Properties that hold for every policy, and a second, plain implementation to disagree with.

`Controller` is written after the Go sources (horizontal.go, scale_scaledobjects.go) with their mutable lists that
nothing prunes; the room's own code is pure and forgets. Random policies and loads must move both alike.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.scaling.decide import Decision, start, step
from headrace.scaling.hpa import sync
from headrace.scaling.policy import Direction, Policy, RatePolicy, Trigger
from headrace.scaling.signals import Observation, read

rates = st.builds(
    RatePolicy,
    kind=st.sampled_from(["replicas", "percent"]),
    value=st.integers(1, 120),
    period=st.sampled_from([15, 20, 45, 60, 300]),
)
directions = st.none() | st.builds(
    Direction,
    stabilization_window=st.none() | st.sampled_from([0, 15, 40, 60, 120]),
    policies=st.lists(rates, max_size=3).map(tuple),
    select=st.sampled_from(["max", "min", "disabled"]),
    tolerance=st.sampled_from([0.0, 0.05, 0.1, 0.5]),
)
triggers = st.builds(
    Trigger,
    signal=st.sampled_from(["waiting", "running", "demand"]),
    target=st.sampled_from([0.5, 1, 3, 5, 12.5]),
    activation=st.sampled_from([0, 0, 2, 20]),
)
counts = st.none() | st.integers(0, 80)


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    low = draw(st.integers(0, 4))
    return Policy(
        min=low,
        max=draw(st.integers(max(1, low), 20)),
        triggers=tuple(draw(st.lists(triggers, min_size=1, max_size=2))),
        idle=draw(st.sampled_from([None, 0])) if low else None,
        polling_interval=draw(st.sampled_from([10, 30])),
        cooldown=draw(st.sampled_from([0, 30, 300])),
        initial_cooldown=draw(st.sampled_from([0, 60])),
        scale_up=draw(directions),
        scale_down=draw(directions),
    )


# (seconds since the last call, waiting, running, replicas that lag behind)
loads = st.lists(
    st.tuples(st.sampled_from([0.5, 5, 15, 17, 100]), counts, counts, st.integers(0, 1)),
    min_size=1,
    max_size=60,
)


Load = Sequence[tuple[float, int | None, int | None, int]]
Values = Sequence[float | None]


class Controller:
    """The HPA controller and KEDA's executor, after their sources, and a scaler that tells KEDA of
    running requests.
    """

    def __init__(self, policy: Policy, spec: int) -> None:
        self.policy, self.spec = policy, spec
        self.recommendations: list[tuple[float, int]] = []
        self.ups: list[tuple[float, int]] = []
        self.downs: list[tuple[float, int]] = []
        self.last_active: float | None = None

    def metrics(self, values: Values, status: int) -> int:
        proposals: list[int] = []
        up = self.policy.scale_up.tolerance if self.policy.scale_up else 0.1
        down = self.policy.scale_down.tolerance if self.policy.scale_down else 0.1
        for trigger, value in zip(self.policy.triggers, values, strict=True):
            if value is None:
                continue
            usage, target = value * 1000, int(trigger.target * 1000)
            ratio = math.inf if status == 0 else usage / (target * status)
            inside = (1.0 - down) <= ratio <= (1.0 + up)
            proposals.append(status if inside else math.ceil(usage / target))
        best = max(proposals, default=-1)
        invalid = len(values) - len(proposals)
        return -1 if not proposals or (invalid > 0 and best < self.spec) else best

    def hpa(self, now: float, values: Values, status: int) -> None:
        low = self.policy.min if self.policy.min > 0 else 1
        if not self.recommendations:
            self.recommendations.append((now, self.spec))
        if self.spec == 0:
            return
        if self.spec > self.policy.max:
            self.rescale(now, self.policy.max)
        elif self.spec < low:
            self.rescale(now, low)
        else:
            desired = self.metrics(values, status)
            if desired == -1:
                return
            if self.policy.scale_up or self.policy.scale_down:
                self.rescale(now, self.with_behaviors(now, desired, low))
            else:
                recent = [r for at, r in self.recommendations if not at < now - 300]
                self.recommendations.append((now, desired))
                allowed = min(self.policy.max, max(2 * self.spec, 4))
                self.rescale(now, max(low, min(allowed, max([desired, *recent]))))

    def with_behaviors(self, now: float, desired: int, low: int) -> int:
        up = self.policy.scale_up or Direction()
        down = self.policy.scale_down or Direction()
        up_window = up.stabilization_window or 0
        down_window = 300 if down.stabilization_window is None else down.stabilization_window
        upper = lower = desired
        for at, recommendation in self.recommendations:
            if at > now - up_window:
                upper = min(recommendation, upper)
            if at > now - down_window:
                lower = max(recommendation, lower)
        stable = self.spec
        stable = max(stable, upper)
        stable = min(stable, lower)
        self.recommendations.append((now, desired))
        if stable > self.spec:
            return min(stable, self.policy.max, max(self.spec, self.limit(now, up, 1)))
        if stable < self.spec:
            return max(stable, low, min(self.spec, self.limit(now, down, -1)))
        return stable

    def limit(self, now: float, direction: Direction, way: int) -> int:
        if direction.select == "disabled":
            return self.spec
        proposals: list[int] = []
        for policy in self.rules(direction, way):
            added = sum(n for at, n in self.ups if at > now - policy.period)
            deleted = sum(n for at, n in self.downs if at > now - policy.period)
            begin = self.spec - added + deleted
            if policy.kind == "replicas":
                proposals.append(begin + way * policy.value)
            elif way > 0:
                proposals.append(math.ceil(begin * (1 + policy.value / 100)))
            else:
                proposals.append(int(begin * (1 - policy.value / 100)))
        largest_change = (direction.select == "max") == (way > 0)
        return max(proposals) if largest_change else min(proposals)

    @staticmethod
    def rules(direction: Direction | None, way: int) -> Sequence[RatePolicy]:
        if direction and direction.policies:
            return direction.policies
        pods = [RatePolicy("replicas", 4, 15)] if way > 0 else []
        return [*pods, RatePolicy("percent", 100, 15)]

    def rescale(self, now: float, desired: int) -> None:
        change = desired - self.spec
        self.spec = desired
        if change == 0 or not (self.policy.scale_up or self.policy.scale_down):
            return
        way = 1 if change > 0 else -1
        events = self.ups if way > 0 else self.downs
        direction = self.policy.scale_up if way > 0 else self.policy.scale_down
        longest = max(policy.period for policy in self.rules(direction, way))
        for index in reversed(range(len(events))):
            if events[index][0] < now - longest:
                events[index] = (now, abs(change))
                return
        events.append((now, abs(change)))

    def keda(self, now: float, values: Values, running: int | None) -> None:
        policy = self.policy
        known = zip(policy.triggers, values, strict=True)
        active = any(v is not None and v > t.activation for t, v in known)
        error = None in values
        if active:
            if (policy.idle is not None and self.spec < policy.min) or self.spec == 0:
                self.spec = policy.min if policy.min > 0 else 1
                self.last_active = now
            elif not error:
                self.last_active = now
        elif error:
            return
        elif (policy.idle is not None and self.spec > policy.idle) or (
            self.spec > 0 and policy.min == 0
        ):
            if running:  # answers are under way: the scaler says active, whatever the values
                self.last_active = now
                return
            since, wait = self.last_active, policy.cooldown
            if since is None:
                since, wait = 0, policy.initial_cooldown
            if since + wait < now:
                self.spec = policy.min if policy.idle is None else policy.idle
        elif policy.idle is None and self.spec < policy.min:
            self.spec = policy.min


@settings(max_examples=300, deadline=None)
@given(policies(), st.integers(0, 22), loads)
def test_it_moves_as_the_controllers_do(policy: Policy, spec: int, load: Load) -> None:
    state, controller = start(policy, 0, spec), Controller(policy, spec)
    now = next_sync = next_poll = 0.0
    for pause, waiting, running, lag in load:
        now += pause
        status = max(0, state.spec - lag)
        seen = observed(now, waiting, running, status)
        values = [reading.value for reading in read(policy.triggers, seen)]
        if now >= next_sync:
            next_sync = now + 15
            controller.hpa(now, values, status)
        if now >= next_poll:
            next_poll = now + policy.polling_interval
            controller.keda(now, values, running)
        decision = step(policy, state, seen)
        assert decision.desired == controller.spec, (now, decision.reason)
        state = decision.state


def observed(
    now: float, waiting: int | None, running: int | None, replicas: int, ready: int = 0
) -> Observation:
    return Observation(
        now=now, held=0, queued=waiting, running=running, replicas=replicas, ready=ready
    )


def played(policy: Policy, spec: int, load: Load) -> Iterator[tuple[Observation, Decision]]:
    """Yield (observation, decision) of a load, all replicas existing and none ready."""
    state, now = start(policy, 0, spec), 0.0
    for pause, waiting, running, _ in load:
        now += pause
        seen = observed(now, waiting, running, state.spec)
        decision = step(policy, state, seen)
        yield seen, decision
        state = decision.state


@settings(max_examples=200, deadline=None)
@given(policies(), st.data(), loads)
def test_the_result_is_within_the_bounds_or_asleep(
    policy: Policy, data: st.DataObject, load: Load
) -> None:
    spec = data.draw(st.integers(policy.awake_min, policy.max))
    asleep = 0 if policy.idle is not None else policy.min
    for _, decision in played(policy, spec, load):
        assert decision.desired == asleep or policy.awake_min <= decision.desired <= policy.max
        assert decision.changed == (decision.desired != decision.before)
        assert decision.reason


@settings(max_examples=200, deadline=None)
@given(policies(), st.integers(1, 20), loads, st.integers(0, 80), st.integers(0, 80))
def test_more_demand_never_means_fewer_replicas(
    policy: Policy, spec: int, load: Load, one: int, other: int
) -> None:
    state = start(policy, 0, spec)
    for _, decision in played(policy, spec, load):
        state = decision.state
    less, more = sorted((one, other))
    later = (state.last_sync or 0) + 1000
    results = [
        sync(
            policy,
            state.history,
            now=later,
            spec=state.spec,
            replicas=state.spec,
            readings=read(policy.triggers, observed(later, demand, demand, state.spec)),
        ).desired
        for demand in (less, more)
    ]
    assert results[0] <= results[1]


@settings(max_examples=200, deadline=None)
@given(policies(), st.integers(0, 400), triggers, st.integers(1, 20), st.integers(1, 80))
def test_constant_demand_never_cascades_while_nothing_becomes_ready(
    policy: Policy, total: int, trigger: Trigger, spec: int, steps: int
) -> None:
    policy = replace(policy, triggers=(trigger,))
    waiting, running = (0, total) if trigger.signal == "running" else (total, 0)
    most = math.ceil(total / trigger.target)
    for _, decision in played(policy, spec, [(15, waiting, running, 0)] * steps):
        assert decision.desired <= max(spec, most, policy.awake_min)


demands = st.lists(st.sampled_from([0, 0, 3, 10, 40, 80]), min_size=2, max_size=40)


@settings(max_examples=300, deadline=None)
@given(
    st.integers(1, 5),
    st.sampled_from([15, 60, 100]),
    st.integers(1, 5),
    st.sampled_from([15, 60, 100]),
    demands,
)
def test_a_change_is_within_its_rate_of_the_count_one_period_ago(
    added: int, up_period: int, removed: int, down_period: int, demands: list[int]
) -> None:
    policy = Policy(
        min=1,
        max=60,
        triggers=(Trigger("demand", 1),),
        scale_up=Direction(0, (RatePolicy("replicas", added, up_period),)),
        scale_down=Direction(0, (RatePolicy("replicas", removed, down_period),)),
    )
    counts = [(-1000.0, 5)]

    def count_at(cutoff: float) -> int:
        return [count for at, count in counts if at <= cutoff][-1]

    for seen, decision in played(policy, 5, [(15, demand, 0, 0) for demand in demands]):
        if decision.desired > decision.before:
            assert decision.desired <= count_at(seen.now - up_period) + added
        if decision.desired < decision.before:
            assert decision.desired >= count_at(seen.now - down_period) - removed
        counts.append((seen.now, decision.desired))


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([15, 60, 120]), st.lists(st.integers(0, 40), min_size=2, max_size=40))
def test_nothing_shrinks_below_what_the_window_still_holds(window: int, demands: list[int]) -> None:
    policy = Policy(
        min=1,
        max=40,
        triggers=(Trigger("demand", 1),),
        scale_up=Direction(0, (RatePolicy("replicas", 100, 15),)),
        scale_down=Direction(window),
    )
    state, wanted = start(policy, 0, 1), []
    for index, demand in enumerate(demands):
        now = index * 15
        decision = step(policy, state, observed(now, demand, 0, state.spec))
        within = 0.9 * state.spec <= demand <= 1.1 * state.spec
        wanted.append((now, state.spec if within else demand))
        if decision.desired < state.spec:
            recent = [count for at, count in wanted if at > now - window]
            assert decision.desired == max(1, *recent, 1)
        state = decision.state
