"""Which replica is chosen: load against cache, slow start, ties; trust is in test_health.py."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from headrace.routing import choose as choosing
from headrace.routing.choose import Choice, Place, Score
from headrace.routing.health import Health
from headrace.routing.prefix import Mark, PrefixIndex
from headrace.routing.work import Work

HOT = tuple(Mark(1000 + n, n * 1000) for n in range(1, 9))
"""8000 tokens."""


def places(count: int, room: int = 100) -> list[Place]:
    return [Place(f"r{number}", room, health=Health(chance=lambda: 0.0)) for number in range(count)]


def choose(
    among: list[Place],
    work: Work,
    now: float,
    index: PrefixIndex | None = None,
    slow_start: float = 0.0,
) -> Choice | None:
    by_id = {place.id: place for place in among}
    return choosing.choose(by_id, work, now, index, slow_start)


def chosen(choice: Choice | None) -> Place:
    assert choice is not None
    return choice.place


def test_least_token_work_rather_than_fewest_requests() -> None:
    one, two = places(2)
    one.bind(Work(50_000, 100))
    for _ in range(3):
        two.bind(Work(100, 100))
    assert chosen(choose([one, two], Work(100, 100), 0.0)) is two


def test_a_finished_prefill_holds_nobody_up() -> None:
    """20 x 100 of answers to come weigh 20 x 50 tokens: more than 0, less than the 2000."""
    one, two = places(2)
    long = one.bind(Work(50_000, 100))
    short = [two.bind(Work(2_000, 100)) for _ in range(20)]
    assert chosen(choose([one, two], Work(0, 0), 0.0)) is two
    long.prefilled()
    long.prefilled()
    assert one.load == 50
    assert chosen(choose([one, two], Work(0, 0), 0.0)) is one
    for bound in (long, *short):
        bound.unbind()
    assert (one.load, two.load, one.running, two.running) == (0, 0, 0, 0)


def test_a_conversation_returns_until_waiting_costs_more() -> None:
    """8000 cached tokens are worth 8000 when idle, and 1/32 768 more for each token of mean load.

    10 000 on one of two: 8000 x (1 + 5000 / 32 768) = 9220 is less; 8500: 9037 is more.
    """
    one, two = both = places(2)
    index = PrefixIndex()
    index.note("r1", HOT)
    work = Work(9000, 100, HOT)
    choice = choose(both, work, 0.0, index)
    assert choice is not None
    assert (choice.place, choice.cached) == (two, 8000)
    assert choice.scores == (Score("r1", 1050, 8000), Score("r0", 9050))
    two.load = 8_500
    assert chosen(choose(both, work, 0.0, index)) is two
    two.load = 10_000
    assert chosen(choose(both, work, 0.0, index)) is one


def test_a_hot_prefix_spreads_and_is_then_used_everywhere() -> None:
    """64 requests at once on 4 replicas; each prefill that is not over counts."""
    four, index, work = places(4), PrefixIndex(), Work(8200, 100, HOT)
    counts: Counter[str] = Counter()
    for _ in range(64):
        choice = choose(four, work, 0.0, index)
        assert choice is not None
        index.note(choice.place.id, work.prefix)
        choice.place.bind(work, choice.cached)
        counts[choice.place.id] += 1
    assert set(counts) == {"r0", "r1", "r2", "r3"}
    assert max(counts.values()) <= 2 * min(counts.values())


def test_affinity_is_never_worth_more_than_the_bound() -> None:
    """90k tokens cached; load 60k: 1.25 x 20k + 32 768 is less; load 50k: 20 833 + 32 768 is not."""
    three, index = places(3), PrefixIndex()
    marks = (Mark(1, 90_000),)
    index.resize("r2", 10**6)
    index.note("r2", marks)
    three[2].load = 60_000
    choice = choose(three, Work(100_000, 1, marks), 0.0, index)
    assert choice is not None
    assert (choice.place, choice.cached) == (three[0], 0)
    three[2].load = 50_000
    assert chosen(choose(three, Work(100_000, 1, marks), 0.0, index)) is three[2]


def test_ties_go_to_the_first_listed_without_prefixes_and_spread_caches_with_them() -> None:
    index, three = PrefixIndex(), places(3)
    assert chosen(choose(three, Work(500, 10), 0.0, index)) is three[0]
    for place in three:
        index.resize(place.id, None)
    seen = []
    for number in range(6):
        work = Work(500, 10, (Mark(number, 500),))
        choice = choose(three, work, 0.0, index)
        assert choice is not None
        index.note(choice.place.id, work.prefix)
        seen.append(choice.place.id)
    assert seen == ["r0", "r1", "r2"] * 2


def test_a_new_replica_starts_slowly_and_the_first_does_not() -> None:
    old, new = pair = places(2)
    new.ready_at = 100.0
    work = Work(1000, 0)
    old.load = 8_000
    # a tenth at first: it counts ten times its 1000 tokens, against 9000
    assert chosen(choose(pair, work, 100.0, slow_start=10.0)) is old
    assert chosen(choose(pair, work, 100.0)) is new
    # two tenths: 5000 against 9000
    assert chosen(choose(pair, work, 102.0, slow_start=10.0)) is new
    old.load = 500
    assert chosen(choose(pair, work, 105.0, slow_start=10.0)) is old
    assert chosen(choose(pair, work, 110.0, slow_start=10.0)) is new
    assert chosen(choose([new], work, 100.0, slow_start=10.0)) is new


def test_a_probe_goes_before_any_cache() -> None:
    one, two = both = places(2)
    index = PrefixIndex()
    index.note("r0", HOT)
    two.health.eject("why", 0.0)
    assert chosen(choose(both, Work(9000, 1, HOT), 4.0, index)) is one
    assert chosen(choose(both, Work(9000, 1, HOT), 6.0, index)) is two
    two.health.sent(6.0)
    two.bind(Work(9000, 1, HOT))
    assert chosen(choose(both, Work(9000, 1, HOT), 6.0, index)) is one


def test_of_many_the_only_one_that_can_is_found_and_so_is_the_cache() -> None:
    many, index = places(300), PrefixIndex()
    index.note("r299", HOT)
    work = Work(9000, 1, HOT)
    for now in (0.0, 0.000123, 7.7):
        assert chosen(choose(many, work, now, index)).id == "r299"
        assert choose(many, work, now, index) == choose(many, work, now, index)
    for place in many[:150] + many[151:]:
        place.ready = False
    for now in (0.0, 0.000123, 7.7):
        assert chosen(choose(many, work, now, index)).id == "r150"
        assert chosen(choose(many, Work(0, 0), now)).id == "r150"
    many[150].running = many[150].room
    assert choose(many, work, 0.0, index) is None


def test_of_many_any_can_be_chosen_and_a_trusted_one_goes_first() -> None:
    many = places(300)
    for number, place in enumerate(many):
        place.load = number
    seen = {chosen(choose(many, Work(0, 0), turn * 1e-6)).id for turn in range(0, 300, 7)}
    assert len(seen) > 10
    for place in many[:299]:
        place.health.eject("why", 100.0)
    assert {
        chosen(choose(many, Work(0, 0), 100 + turn * 1e-6)).id for turn in range(0, 300, 7)
    } == {"r299"}


@given(
    loads=st.lists(st.integers(0, 200_000), min_size=1, max_size=12),
    held=st.lists(st.integers(0, 8), min_size=12, max_size=12),
    prompt=st.integers(8_000, 60_000),
)
def test_the_score_is_least_and_the_bound_holds(
    loads: list[int], held: list[int], prompt: int
) -> None:
    many, index = places(len(loads)), PrefixIndex()
    for place, load, marks in zip(many, loads, held, strict=False):
        place.load = load
        if marks:
            index.note(place.id, HOT[:marks])
    choice = choose(many, Work(prompt, 0, HOT), 0.0, index)
    assert choice is not None
    cached = {place.id: 1000 * marks for place, marks in zip(many, held, strict=False)}
    assert choice.cached == cached[choice.place.id]
    mean = sum(loads) / len(loads)
    limit, worth = 1.25 * mean + 32_768, min(4.0, 1 + mean / 32_768)
    if choice.place.load > limit:  # only for being as idle as any
        assert choice.place.load <= min(loads) + choosing.NEAR
    scores = {p.id: p.load - worth * cached[p.id] * (p.load <= limit) for p in many}
    assert scores[choice.place.id] <= min(scores.values()) + choosing.NEAR + 1


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 10_000), st.booleans()), max_size=60))
def test_loads_add_up(requests: list[tuple[int, int, bool]]) -> None:
    four = places(4)
    bounds = [(four[n].bind(Work(prompt, 100), prompt // 2), over) for n, prompt, over in requests]
    for bound, over in bounds:
        bound.prefilled()
        if over:
            bound.unbind()
    left = sum(not over for _, _, over in requests)
    assert sum(place.load for place in four) == 50 * left
    assert sum(place.running for place in four) == left
