"""Shares of the work: bounds that must hold for whatever comes, and a slow model to agree with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from headrace.routing.fair import FairOrder
from headrace.routing.flows import Flows
from headrace.routing.ordered import Ordered
from headrace.routing.route import WEIGHTS, Priority
from headrace.routing.ticket import Ticket, Want
from headrace.routing.waiting import Waiting
from headrace.routing.work import Work

COSTS = st.integers(1, 1000)
PRIORITIES = st.sampled_from(sorted(WEIGHTS))
numbers = iter(range(1, 10**9))


def ticket(flow: str, cost: int, priority: Priority = "normal", **want: float) -> Ticket[None]:
    wanted = Want("route", flow, priority, Work(cost, 0), **want)  # type: ignore[arg-type]  # floats as limits
    return Ticket(None, wanted, next(numbers), cost, 0.0, 0.0)


def serve(order: FairOrder[None]) -> Ticket[None]:
    first = order.first()
    assert first is not None
    order.take(first, first.cost)
    return first


def served(order: FairOrder[None], count: int) -> list[str]:
    return [serve(order).want.flow for _ in range(count)]


def worst_gap(sums: Iterable[tuple[float, float]]) -> float:
    """Return the largest difference between two sums' growth over any interval."""
    differences = [0.0, *(one - other for one, other in sums)]
    return max(differences) - min(differences)


@given(st.lists(st.lists(COSTS, min_size=1, max_size=6), min_size=2, max_size=5))
def test_flows_that_wait_get_the_same_within_a_dearest_request_of_each(
    cycles: list[list[int]],
) -> None:
    """Goyal's theorem 1: over any interval within l1 + l2."""
    order: FairOrder[None] = FairOrder()
    queues = {str(number): costs * 40 for number, costs in enumerate(cycles)}
    for _ in range(2):  # one waits behind another, so that none is ever idle
        for flow, costs in queues.items():
            order.add(ticket(flow, costs.pop()), 1.0)
    got = dict.fromkeys(queues, 0.0)
    history = []
    for _ in range(60):
        one = serve(order)
        got[one.want.flow] += one.cost
        history.append(dict(got))
        order.add(
            ticket(one.want.flow, queues[one.want.flow].pop() if queues[one.want.flow] else 1), 1.0
        )
    for a, b in combinations(queues, 2):
        gap = worst_gap((sums[a], sums[b]) for sums in history)
        assert gap <= max(cycles[int(a)]) + max(cycles[int(b)])


@given(st.fixed_dictionaries(dict.fromkeys(WEIGHTS, st.lists(COSTS, min_size=1, max_size=6))))
def test_priorities_that_wait_get_their_weights(cycles: dict[Priority, list[int]]) -> None:
    """The same over the weights 16, 4 and 1; high gets 16 for 1 of low, but not everything."""
    order: FairOrder[None] = FairOrder()
    turns = dict.fromkeys(cycles, 0)

    def add(priority: Priority) -> None:
        costs = cycles[priority]
        order.add(ticket("flow", costs[turns[priority] % len(costs)], priority), 1.0)
        turns[priority] += 1

    for priority in [*cycles, *cycles]:
        add(priority)
    got = dict.fromkeys(cycles, 0.0)
    history = []
    for _ in range(120):
        one = serve(order)
        got[one.want.priority] += one.cost / WEIGHTS[one.want.priority]
        history.append(dict(got))
        add(one.want.priority)
    for a, b in combinations(cycles, 2):
        gap = worst_gap((sums[a], sums[b]) for sums in history)
        assert gap <= max(cycles[a]) / WEIGHTS[a] + max(cycles[b]) / WEIGHTS[b] + 1e-9


def test_the_shares_of_priorities_in_round_numbers() -> None:
    order: FairOrder[None] = FairOrder()
    for priority in WEIGHTS:
        for _ in range(100):
            order.add(ticket("flow", 10, priority), 1.0)
    got = [serve(order).want.priority for _ in range(42)]
    assert {one: got.count(one) for one in WEIGHTS} == {"high": 32, "normal": 8, "low": 2}


def test_tokens_are_shared_not_requests() -> None:
    order: FairOrder[None] = FairOrder()
    for _ in range(10):
        order.add(ticket("documents", 1000), 1.0)
    for _ in range(50):
        order.add(ticket("chats", 100), 1.0)
    assert served(order, 22) == ["documents", *["chats"] * 10] * 2


def test_nobody_saves_turns_up() -> None:
    order: FairOrder[None] = FairOrder()
    for _ in range(200):
        order.add(ticket("busy", 10), 1.0)
    served(order, 100)
    for _ in range(100):
        order.add(ticket("late", 10), 1.0)
    flows = served(order, 20)
    assert abs(flows.count("late") - flows.count("busy")) <= 2


def test_what_an_estimate_was_wrong_by_is_paid_back() -> None:
    order: FairOrder[None] = FairOrder()
    for _ in range(40):
        order.add(ticket("modest", 100), 1.0)
        order.add(ticket("wordy", 100), 1.0)
    first = serve(order)
    assert served(order, 1) == ["wordy"]
    order.settle(first, 1100)  # ten times more than was thought
    assert served(order, 11).count("wordy") >= 10
    second = serve(order)
    order.settle(second, 0)
    assert second.charged == 0
    assert served(order, 1) == [second.want.flow]  # it had its turn for nothing


def test_inside_a_flow_the_earliest_deadline_is_next_and_ties_go_by_arrival() -> None:
    order: FairOrder[None] = FairOrder()
    tickets = [ticket("flow", 1) for _ in range(4)]
    for one, deadline in zip(tickets, (9.0, 5.0, 9.0, 7.0), strict=True):
        order.add(one, deadline)
    assert [serve(order) for _ in range(4)] == [tickets[n] for n in (1, 3, 0, 2)]


def test_flows_that_are_done_take_no_memory() -> None:
    flows: Flows[None] = Flows()
    tickets = [ticket(f"key {number}", 1 + number % 7) for number in range(10_000)]
    for one in tickets:
        flows.add(one, 1.0)
    while (first := flows.first()) is not None:
        flows.take(first, first.cost)
    for one in tickets:
        flows.settle(one.want.flow, 0.0)
    assert flows.remembered == 0


def test_a_busy_caller_makes_way_even_if_nobody_waited_when_it_began() -> None:
    """It was alone, and its first request still runs when another caller comes."""
    waiting: Waiting[None] = Waiting(100, 60.0)
    for _ in range(3):
        waiting.add(ticket("flood", 1000))
    first = waiting.first()
    assert first is not None
    waiting.take(first, 1000)
    newcomer = ticket("new", 10)
    waiting.add(newcomer)
    assert waiting.first() is newcomer


@dataclass
class Slow:
    """The rules in the plainest words: nothing is forgotten, everything is looked through."""

    waiting: list[Ticket[None]] = field(default_factory=list)
    flows: dict[tuple[Priority, str], float] = field(default_factory=dict)
    bands: dict[Priority, float] = field(default_factory=lambda: dict.fromkeys(WEIGHTS, 0.0))
    flow_floor: dict[Priority, float] = field(default_factory=lambda: dict.fromkeys(WEIGHTS, 0.0))
    floor: float = 0.0

    def active(self, priority: Priority, flow: str | None = None) -> bool:
        return any(
            t.want.priority == priority and flow in (None, t.want.flow) for t in self.waiting
        )

    def add(self, one: Ticket[None]) -> None:
        priority, flow = one.want.priority, one.want.flow
        if not self.active(priority):
            self.bands[priority] = max(self.bands[priority], self.floor)
        if not self.active(priority, flow):
            counter = self.flows.get((priority, flow), 0.0)
            self.flows[priority, flow] = max(counter, self.flow_floor[priority])
        self.waiting.append(one)

    def candidates(self) -> list[Ticket[None]]:
        """Those whose turn it may be: the model leaves ties between flows open."""
        if not self.waiting:
            return []
        order = list(WEIGHTS)
        band = min(
            {t.want.priority for t in self.waiting}, key=lambda p: (self.bands[p], order.index(p))
        )
        inside = [t for t in self.waiting if t.want.priority == band]
        least = min(self.flows[band, t.want.flow] for t in inside)
        names = {t.want.flow for t in inside if self.flows[band, t.want.flow] == least}
        return [min((t for t in inside if t.want.flow == n), key=lambda t: t.number) for n in names]

    def take(self, one: Ticket[None]) -> None:
        key = priority, _ = one.want.priority, one.want.flow
        self.floor = max(self.floor, self.bands[priority])
        self.flow_floor[priority] = max(self.flow_floor[priority], self.flows[key])
        self.bands[priority] += one.cost / WEIGHTS[priority]
        self.flows[key] += one.cost
        self.remove(one)

    def remove(self, one: Ticket[None]) -> None:
        self.waiting.remove(one)

    def settle(self, one: Ticket[None], owed: float) -> None:
        key = priority, flow = one.want.priority, one.want.flow
        self.bands[priority] += owed / WEIGHTS[priority]
        if self.active(priority, flow) or self.flows[key] > self.flow_floor[priority]:
            self.flows[key] += owed
        elif owed > 0:
            self.flows[key] = self.flow_floor[priority] + owed
        if not self.waiting:
            self.floor = max(self.floor, self.bands[priority])
        if not self.active(priority):
            self.flow_floor[priority] = max(self.flow_floor[priority], self.flows[key])


class AgreesWithTheModel(RuleBasedStateMachine):
    """Whatever comes in whatever order, the quick order picks what the slow model would."""

    def __init__(self) -> None:
        super().__init__()
        self.quick: Waiting[None] = Waiting(10**6, 60.0)
        self.slow = Slow()
        self.gone: list[Ticket[None]] = []

    @rule(flow=st.sampled_from("abc"), cost=COSTS, priority=PRIORITIES)
    def come(self, flow: str, cost: int, priority: Priority) -> None:
        one = ticket(flow, cost, priority)
        self.quick.add(one)
        self.slow.add(one)

    @precondition(lambda self: self.slow.waiting)
    @rule()
    def go(self) -> None:
        first = self.quick.first()
        assert first in self.slow.candidates()
        assert first is not None
        self.quick.take(first, first.cost)
        self.slow.take(first)
        self.gone.append(first)

    @precondition(lambda self: self.slow.waiting)
    @rule(which=st.integers(0, 99))
    def hang_up(self, which: int) -> None:
        one = self.slow.waiting[which % len(self.slow.waiting)]
        self.quick.remove(one)
        self.slow.remove(one)

    @precondition(lambda self: self.gone)
    @rule(which=st.integers(0, 99), cost=COSTS)
    def settle(self, which: int, cost: int) -> None:
        one = self.gone.pop(which % len(self.gone))
        self.slow.settle(one, cost - one.charged)
        self.quick.settle(one, cost)
        assert one.charged == cost

    @rule()
    def somebody_looks(self) -> None:
        """Looking on changes nothing."""
        assert sorted(t.number for t in self.quick) == sorted(t.number for t in self.slow.waiting)

    @invariant()
    def none_is_lost(self) -> None:
        assert len(self.quick) == len(self.slow.waiting)
        assert (self.quick.first() is None) == (not self.slow.waiting)


AgreesWithTheModel.TestCase.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None
)
TestAgreesWithTheModel = AgreesWithTheModel.TestCase


@given(st.lists(st.tuples(st.integers(0, 5), st.one_of(st.none(), st.integers(0, 9)))))
def test_ordered_is_a_sorted_dictionary(changes: list[tuple[int, int | None]]) -> None:
    """None removes; the model sorts by key and number."""
    ordered: Ordered[str] = Ordered()
    model: dict[str, tuple[int, int]] = {}
    for number, key in changes:
        name = str(number)
        if key is not None:
            ordered.put(name, key, number)
            model[name] = (key, number)
        elif name in model:
            ordered.drop(name)
            del model[name]
        assert ordered.first() == min(model, key=lambda one: model[one], default=None)
        assert list(ordered) == list(model)
    with pytest.raises(KeyError):
        ordered.drop("nobody")
