"""Requests of LoRA adapters go where theirs is loaded, unless waiting there costs more."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from headrace.routing.adapters import LOADING, OTHERS, Slots
from headrace.routing.queue import WorkQueue
from headrace.routing.ticket import Ticket, Want
from headrace.routing.work import Work

Queue = WorkQueue[str]


def queue(replicas: int, room: int | None) -> Queue:
    made: Queue = WorkQueue(limit=1000, max_wait=60)
    made.set_places([(f"r{number}", 100, True) for number in range(replicas)], 0.0)
    for place in made.places.values():
        place.slots.room = room
    return made


def go(to: Queue, adapter: str | None, prompt: int = 1000) -> tuple[str, Ticket[str]]:
    want = Want("route", "flow", "normal", Work(prompt, 0), adapter=adapter)
    to.submit("request", 0.0, want)
    ((ticket, place),) = to.assign(0.0)
    return place.id, ticket


def test_two_adapters_on_two_replicas_with_room_for_one_do_not_mix() -> None:
    """Where both have room for both, load alone decides."""
    few, many = queue(2, 1), queue(2, None)
    assert [go(few, name)[0] for name in "aabbab"] == ["r0", "r0", "r1", "r1", "r0", "r1"]
    assert [go(many, name)[0] for name in "aabbab"] == ["r0", "r1", "r0", "r1", "r0", "r1"]


def test_an_adapter_with_much_to_do_is_loaded_elsewhere_too() -> None:
    """Loading counts 4096 tokens: 4 requests of 1000 stay, the sixth finds 5000 and goes."""
    few = queue(2, 1)
    assert [go(few, "a")[0] for _ in range(7)] == ["r0"] * 5 + ["r1"] * 2


def test_what_runs_is_not_pushed_out_before_it_costs_more_than_waiting_for_it() -> None:
    few = queue(2, 1)
    assert go(few, "a")[0] == "r0"
    assert go(few, "b", 60_000)[0] == "r1"
    # a third adapter waits for an end in either place: there is less to do in this one
    assert go(few, "c")[0] == "r0"
    assert go(few, "b")[0] == "r1"
    # 61 000 and then 71 000 tokens wait; the other way it is 2 000 and 65 536 for a wait
    assert go(few, "b", 10_000)[0] == "r1"
    assert go(few, "b")[0] == "r0"


def test_one_that_is_unused_makes_room_and_the_longest_unused_first() -> None:
    slots = Slots(room=2)
    for name in ("a", "b", "a"):
        slots.enter(name)
        slots.leave(name)
    assert [slots.wait(name) for name in "abc"] == [0, 0, LOADING]
    slots.enter("c")
    assert [slots.wait(name) for name in "abc"] == [0, LOADING, 0]
    slots.enter("a")
    assert slots.wait("b") == OTHERS
    slots.leave("c")
    assert slots.wait("b") == LOADING


def test_a_replica_that_is_full_or_ejected_does_not_hold_its_adapters_requests() -> None:
    few = queue(2, 1)
    assert go(few, "a")[0] == "r0"
    few.places["r0"].room = 1
    assert go(few, "a")[0] == "r1"
    few.places["r0"].room = 100
    few.places["r1"].health.eject("why", 0.0)
    assert go(few, "a")[0] == "r0"


def test_an_ejected_replica_is_probed_by_a_request_of_any_adapter() -> None:
    few = queue(2, 1)
    assert go(few, "a")[0] == "r0"
    few.places["r1"].health.eject("why", -100.0)
    assert go(few, "a")[0] == "r1"


def _turns(names: list[str]) -> Iterator[tuple[str, bool]]:
    for name in names:
        yield name.lower(), name.islower()


@given(st.lists(st.sampled_from("abcdABCD"), max_size=60), st.integers(1, 3))
def test_the_books_add_up(names: list[str], room: int) -> None:
    """Small letters begin a request of an adapter, capitals end the oldest one of it."""
    few = queue(3, room)
    running: dict[str, list[Ticket[str]]] = {name: [] for name in "abcd"}
    for name, begins in _turns(names):
        if begins:
            running[name].append(go(few, name)[1])
        elif running[name]:
            few.release(running[name].pop(0))
    for name, tickets in running.items():
        counts = [place.slots.loaded.get(name, 0) for place in few.places.values()]
        assert sum(counts) == len(tickets)
    for place in few.places.values():
        used = [count for count in place.slots.loaded.values() if count]
        assert len(place.slots.loaded) <= max(room, len(used))
