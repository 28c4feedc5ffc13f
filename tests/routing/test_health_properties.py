"""What health promises whatever happens in whatever order."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from headrace.routing import suspicion
from headrace.routing.choose import Place, choose
from headrace.routing.health import Health, Standing
from headrace.routing.queue import WorkQueue
from headrace.routing.ticket import Ticket, Want
from headrace.routing.window import SAMPLES
from headrace.routing.work import Work

NAMES = "abc"
WANT = Want("chat", "somebody", "normal", Work(0, 0))
TTFTS = st.sampled_from([0.1, 1.0, 3.0, 50.0])


class AnyFate(RuleBasedStateMachine):
    """Replicas fail, slow down, come and go under work that never ends."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.queue: WorkQueue[int] = WorkQueue(limit=100, max_wait=1e9)
        self.queue.set_places([(name, 3, True) for name in NAMES], 0.0)
        self.running: list[tuple[Ticket[int], Place, float]] = []
        self.probes: list[tuple[Place, float, Ticket[int]]] = []
        self.fill()

    @property
    def ready(self) -> list[Place]:
        return [place for place in self.queue.places.values() if place.ready]

    def fill(self) -> None:
        for number in range(3 - self.queue.waiting):
            self.queue.submit(number, self.now, WANT)
        assigning = self.queue.assign(self.now)
        while True:
            before = {place: place.health.standing for place in self.queue.places.values()}
            panic = not any(place.health.trusted for place in self.ready)
            bound = next(assigning, None)
            if bound is None:
                break
            self.judge(*bound, before[bound[1]], panic=panic)
            self.running.append((*bound, self.now))

    def judge(self, ticket: Ticket[int], place: Place, before: Standing, *, panic: bool) -> None:
        assert place.ready
        assert place.running <= place.room
        if panic:
            return
        assert before is not Standing.PROBED
        if before is Standing.EJECTED:
            assert self.now >= place.health.until
            self.probes = [p for p in self.probes if any(p[2] is t for t, *_ in self.running)]
            assert (place, place.health.turned) not in [p[:2] for p in self.probes]
            self.probes.append((place, place.health.turned, ticket))

    @rule(seconds=st.sampled_from([0.0, 0.5, 3.0, 6.0, 30.0, 150.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        suspicion.review(self.queue.places.values(), self.now)
        self.fill()

    @precondition(lambda self: self.running)
    @rule(which=st.integers(0, 99), ttft=TTFTS)
    def begin(self, which: int, ttft: float) -> None:
        """Time passes until the answer begins, if it was not sent long ago."""
        _, place, sent = self.running[which % len(self.running)]
        self.now = max(self.now, sent + ttft)
        place.health.window.ttft.add(self.now, self.now - sent)
        place.health.began(self.now - sent, self.now, running=place.running, room=place.room)
        self.fill()

    @precondition(lambda self: self.running)
    @rule(which=st.integers(0, 99), fate=st.sampled_from(["ok", "failed", "client left"]))
    def end(self, which: int, fate: str) -> None:
        ticket, place, _ = self.running.pop(which % len(self.running))
        if fate != "client left" and self.queue.places.get(place.id) is place:
            suspicion.ended(place, self.queue.places.values(), self.now, ok=fate == "ok")
        self.queue.release(ticket)
        self.fill()

    @rule(
        ready=st.fixed_dictionaries(dict.fromkeys(NAMES, st.sampled_from(["ready", "gone", "out"])))
    )
    def replicas_change(self, ready: dict[str, str]) -> None:
        wanted = [(name, 3, how == "ready") for name, how in ready.items() if how != "gone"]
        self.queue.set_places(wanted, self.now)
        self.fill()

    @rule(name=st.sampled_from(NAMES))
    def a_process_is_replaced(self, name: str) -> None:
        self.queue.renew(name, self.now)
        self.queue.set_places([(one, 3, True) for one in NAMES], self.now)
        self.fill()

    @invariant()
    def never_without_a_usable_replica(self) -> None:
        """Even with nothing in flight anywhere, the next request has a place."""
        trusted = [place for place in self.ready if place.health.trusted]
        if any(place.running == 0 for place in trusted or self.ready):
            assert choose(self.queue.places, Work(0, 0), self.now) is not None

    @invariant()
    def suspicion_is_told(self) -> None:
        trusted = any(place.health.trusted for place in self.ready)
        told = suspicion.all_suspect(self.queue.places.values())
        assert bool(told) == (bool(self.ready) and not trusted)

    @invariant()
    def latency_alone_takes_half_at_most(self) -> None:
        """As many as were ready when it was decided; three at most are."""
        slow = [p for p in self.ready if not p.health.trusted and p.health.slow]
        assert len(slow) <= 1

    @invariant()
    def nothing_grows(self) -> None:
        assert len(self.queue.places) <= len(NAMES)
        for place in self.queue.places.values():
            assert place.health.until <= self.now + 120 * 1.2


AnyFate.TestCase.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
TestAnyFate = AnyFate.TestCase


@given(
    base=st.floats(0.01, 20),
    answers=st.lists(st.tuples(st.integers(0, 3), st.floats(1, 4), st.floats(0, 5)), max_size=120),
)
def test_a_healthy_replica_with_peers_like_it_is_never_ejected(
    base: float, answers: list[tuple[int, float, float]]
) -> None:
    """No failures, and no latency more than 4 times another."""
    places, now = [Place(name, 8) for name in "abcd"], 0.0
    for which, factor, seconds in answers:
        now += seconds
        place = places[which]
        place.health.window.ttft.add(now, base * factor)
        assert not suspicion.ended(place, places, now, ok=True, tpot=base * factor)
        assert suspicion.review(places, now) == []
        assert place.health.standing is Standing.SOUND


@given(st.lists(st.booleans(), min_size=1, max_size=40), st.integers(1, 60))
def test_memory_is_bounded(oks: list[bool], times: int) -> None:
    place = Place("one", 4)
    for number, ok in enumerate(oks * times):
        place.health.window.ttft.add(float(number), 0.1)
        suspicion.ended(place, [place], float(number), ok=ok, tpot=0.1)
    window = place.health.window
    assert max(len(window.ttft), len(window.tpot), window.counts(1e4).requests) <= SAMPLES
    assert len(repr(place.health)) < 1000


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_every_ejection_ends(chances: list[float]) -> None:
    left = iter(chances)
    health = Health(chance=lambda: next(left))
    now = 0.0
    for number in range(len(chances)):
        health.eject("why", now)
        shortest = min(120.0, 5.0 * 2**number)
        assert shortest - 1e-9 <= health.until - now <= shortest * 1.2 + 1e-9
        now = health.until
