"""Who is ejected, for what, for how long, and how one comes back; times and counts by hand."""

from __future__ import annotations

import pytest

from headrace.routing import choose as choosing
from headrace.routing import suspicion
from headrace.routing.choose import Place
from headrace.routing.health import Health, Standing
from headrace.routing.window import SAMPLES, Series, Window
from headrace.routing.work import Work


def places(count: int = 2, room: int = 8) -> list[Place]:
    """Return replicas without jitter."""
    return [Place(f"r{n}", room, health=Health(chance=lambda: 0.0)) for n in range(count)]


def choose(among: list[Place], now: float) -> Place | None:
    choice = choosing.choose({place.id: place for place in among}, Work(0, 0), now)
    return None if choice is None else choice.place


def end(place: Place, among: list[Place], now: float, *, ok: bool, what: str = "") -> bool:
    return suspicion.ended(place, among, now, ok=ok, what=what)


def fail(place: Place, among: list[Place], now: float, times: int = 3) -> bool:
    return [end(place, among, now, ok=False, what="broke") for _ in range(times)][-1]


def begin(place: Place, ttft: float, now: float) -> bool:
    return place.health.began(ttft, now, running=place.running, room=place.room)


def send(place: Place, now: float) -> None:
    place.running += 1
    place.health.sent(now)


# -- failures ---------------------------------------------------------------------------------


def test_three_failures_in_a_row_eject_and_say_why() -> None:
    one, two = all_ = places()
    assert not fail(one, all_, 1.0, times=2)
    assert fail(one, all_, 1.0, times=1)
    assert one.health.reason == "3 failures in a row, the last: broke"
    assert choose(all_, 1.0) is two
    assert choose([one], 1.0) is one  # the only one that is ready


def test_a_success_between_failures_keeps_a_replica() -> None:
    one, *_ = all_ = places()
    for _ in range(2):
        assert not fail(one, all_, 1.0, times=2)
        assert not end(one, all_, 1.0, ok=True)
    assert one.health.trusted


@pytest.mark.parametrize(("theirs", "ejected"), [(0, True), (1, True), (2, False), (5, False)])
def test_a_share_of_failures_far_above_the_peers(theirs: int, ejected: bool) -> None:
    """5 of 12 failed, 42 %: more than 25 points above 0 or 10 %, not above 20 or 50 %."""
    one, two = all_ = places()
    for number in range(10):
        two.health.window.ended(1.0, ok=number >= theirs)
    outcomes = [False, False, True, False, False, True, True, True, True, True, True, False]
    assert [end(one, all_, 2.0, ok=ok) for ok in outcomes][-1] is ejected
    if ejected:
        assert one.health.reason.startswith(f"42% of its requests failed, {theirs * 10}% of its ")


def test_failures_older_than_a_minute_are_forgotten() -> None:
    one, *_ = all_ = places()
    for now in (0.0, 0.0, 61.0, 61.0, 61.0):
        assert not end(one, all_, now, ok=False)
        end(one, all_, now, ok=True)
    assert one.health.window.counts(61.0) == (6, 3)


def test_what_fails_where_no_work_goes_is_not_held_against_it() -> None:
    one, *_ = all_ = places()
    one.ready = False
    assert not fail(one, all_, 1.0, times=9)
    assert one.health.trusted
    assert one.health.window.counts(1.0).failures == 9


# -- latencies --------------------------------------------------------------------------------


def observe(place: Place, now: float, *, ttft: float = 0.1, tpot: float = 0.02) -> None:
    for _ in range(5):
        place.health.window.ttft.add(now, ttft)
        place.health.ended(now, ok=True, running=0, room=8, tpot=tpot)


@pytest.mark.parametrize(
    ("peers", "mine", "ejected"),
    [
        (0.1, 1.9, False),  # 19 times slower, and still under 2 s
        (0.1, 2.1, True),
        (1.0, 3.9, False),
        (1.0, 4.1, True),
    ],
)
def test_ttft_far_above_the_peers(peers: float, mine: float, ejected: bool) -> None:
    one, two = all_ = places()
    observe(one, 1.0, ttft=mine)
    observe(two, 1.0, ttft=peers)
    assert suspicion.review(all_, 2.0) == ([one] if ejected else [])
    assert one.health.trusted is not ejected


@pytest.mark.parametrize(("mine", "ejected"), [(0.09, False), (0.11, True)])
def test_tpot_far_above_the_peers(mine: float, ejected: bool) -> None:
    one, two = all_ = places()
    observe(one, 1.0, tpot=mine)
    observe(two, 1.0, tpot=0.01)
    assert suspicion.review(all_, 2.0) == ([one] if ejected else [])


def test_few_samples_or_no_peer_say_nothing() -> None:
    one, two = all_ = places()
    observe(one, 1.0, ttft=60)
    assert suspicion.review(all_, 2.0) == []
    for _ in range(4):
        two.health.window.ttft.add(1.0, 0.1)
    assert suspicion.review(all_, 2.0) == []
    two.health.window.ttft.add(1.0, 0.1)
    assert suspicion.review(all_, 2.0) == [one]


def test_latency_ejects_half_at_most() -> None:
    all_ = places(4)
    for place, ttft in zip(all_, (50, 50, 0.1, 0.1), strict=True):
        observe(place, 1.0, ttft=ttft)
    assert suspicion.review(all_, 2.0) == all_[:2]
    for _ in range(20):
        all_[2].health.window.ttft.add(3.0, 50)
    assert suspicion.review(all_, 4.0) == []  # 500 times slower than the last one
    assert fail(all_[2], all_, 5.0)  # but failures do


def test_only_trusted_replicas_are_peers() -> None:
    one, two, three = all_ = places(3)
    observe(one, 1.0, ttft=30)
    observe(two, 1.0, ttft=0.1)
    fail(two, all_, 1.0)
    observe(three, 1.0, ttft=0.1)
    three.ready = False
    assert suspicion.review(all_, 2.0) == []


def test_a_probe_that_is_as_slow_as_before_does_not_bring_it_back() -> None:
    one, two = all_ = places()
    observe(one, 1.0, ttft=30)
    observe(two, 1.0, ttft=1)
    suspicion.review(all_, 2.0)  # the limit is 4 s
    send(one, 7.0)
    assert not begin(one, 4.5, 11.5)
    assert (one.health.standing, one.health.until) == (Standing.EJECTED, 21.5)
    send(one, 21.5)
    assert begin(one, 3.5, 25.0)
    assert suspicion.review(all_, 26.0) == []  # what was before it returned is not counted


# -- return -----------------------------------------------------------------------------------


def test_one_probe_then_more_with_each_answer() -> None:
    one, *_ = all_ = places(room=8)
    fail(one, all_, 10.0)
    assert not one.health.admits(0, 14.9)
    assert one.health.admits(0, 15.0)
    send(one, 15.0)
    assert not one.health.admits(1, 16.0)
    allowed = []
    for second in range(3):
        assert begin(one, 0.1, 16.0 + second)
        allowed.append(next(n for n in range(99) if n == 98 or not one.health.admits(n, 20.0)))
    assert allowed == [2, 4, 98]  # the probe and one more, twice as many, all (the room is 8)
    assert one.health.standing is Standing.SOUND


def test_each_ejection_is_twice_as_long_up_to_two_minutes() -> None:
    one, *_ = all_ = places()
    now, seconds = 100.0, []
    fail(one, all_, now)
    for _ in range(8):
        seconds.append(one.health.until - now)
        now = one.health.until
        send(one, now)
        fail(one, all_, now, times=1)
        one.running = 0
    assert seconds == [5, 10, 20, 40, 80, 120, 120, 120]


def test_a_healthy_minute_wipes_the_slate() -> None:
    one, *_ = all_ = places(room=1)
    fail(one, all_, 0.0)
    send(one, 5.0)
    begin(one, 0.1, 5.1)
    assert one.health.standing is Standing.SOUND
    fail(one, all_, 60.0)
    assert one.health.until == 70.0  # 55 s after its return: the second ejection of 10 s
    send(one, 70.0)
    begin(one, 0.1, 70.1)
    fail(one, all_, 131.0)
    assert one.health.until == 136.0


def test_jitter_only_lengthens() -> None:
    health = Health(chance=lambda: 1.0)
    health.eject("why", 0.0)
    assert health.until == pytest.approx(6.0)


def test_a_failure_while_it_returns_ejects_again() -> None:
    one, *_ = all_ = places()
    fail(one, all_, 0.0)
    send(one, 5.0)
    begin(one, 0.1, 5.1)
    assert end(one, all_, 6.0, ok=False, what="HTTP 500")
    assert one.health.reason == "failed again while it was tried, the last: HTTP 500"
    assert one.health.until == 16.0


def test_old_work_says_nothing_about_the_time_after_the_ejection() -> None:
    one, *_ = all_ = places()
    one.running = 3
    fail(one, all_, 10.0)
    give_back(one)  # the one that failed last
    assert not begin(one, 2.5, 12.0)  # sent at 9.5
    assert not begin(one, 1.0, 12.0)  # perhaps sent at 9.6 and told late
    assert not end(one, all_, 13.0, ok=False)
    assert one.health.until == 15.0  # and a late failure makes it no longer
    send(one, 15.0)
    assert not end(one, all_, 15.5, ok=True)  # one of three: perhaps not the probe
    assert one.health.standing is Standing.PROBED
    give_back(one)
    give_back(one)
    end(one, all_, 16.0, ok=True)
    assert one.health.standing is Standing.RETURNING


def give_back(place: Place) -> None:
    place.running -= 1
    place.health.released(place.running)


def test_answers_whose_beginning_nobody_tells_count_by_their_end() -> None:
    one, *_ = all_ = places(room=4)
    fail(one, all_, 0.0)
    send(one, 5.0)
    end(one, all_, 6.0, ok=True)
    assert one.health.standing is Standing.RETURNING
    end(one, all_, 6.0, ok=True)
    assert one.health.standing is Standing.SOUND


def test_a_probe_whose_client_left_is_followed_by_another() -> None:
    one, *_ = all_ = places()
    fail(one, all_, 0.0)
    send(one, 5.0)
    give_back(one)
    assert one.health.admits(0, 5.0)


def test_the_probe_goes_first_and_only_one() -> None:
    one, two = all_ = places()
    fail(two, all_, 0.0)
    assert choose(all_, 4.9) is one
    assert choose(all_, 5.0) is two
    send(two, 5.0)
    assert choose(all_, 5.0) is one


# -- all of them ------------------------------------------------------------------------------


def test_when_all_are_suspect_the_least_bad_one_works_on() -> None:
    one, two = all_ = places(room=1)
    for ok in (True, True, True):
        end(two, all_, 0.0, ok=ok)
    fail(one, all_, 1.0)
    assert suspicion.all_suspect(all_) == ""
    fail(two, all_, 1.0)
    assert suspicion.all_suspect(all_) == (
        "r0: 3 failures in a row, the last: broke; r1: 3 failures in a row, the last: broke"
    )
    assert choose(all_, 1.0) is two  # 3 of 6 failed there
    send(two, 1.0)
    assert choose(all_, 1.0) is one  # and its room is 1
    assert begin(two, 0.5, 3.0)  # sent after the ejection: as good as a probe
    assert suspicion.all_suspect(all_) == ""
    assert choose(all_, 3.0) is None


def test_without_a_ready_replica_nobody_is_suspect() -> None:
    one, *_ = all_ = places(1)
    fail(one, all_, 1.0)
    assert suspicion.all_suspect(all_)
    one.ready = False
    assert suspicion.all_suspect(all_) == ""
    assert choose(all_, 1.0) is None


# -- windows ----------------------------------------------------------------------------------


def test_a_window_is_a_minute_and_bounded() -> None:
    series = Series()
    for second in range(1000):
        series.add(float(second), float(second))
    assert len(series) == SAMPLES
    assert sorted(series.recent(999.0)) == list(range(939, 1000))
    assert sorted(series.recent(999.0, since=998.0)) == [998, 999]
    window = Window()
    window.ended(0.0, ok=False, tpot=0.5)
    window.ended(0.0, ok=True)
    assert window.counts(60.0) == (2, 1)
    assert window.counts(60.1) == (0, 0)
    assert window.counts(60.1).share == 0.0
