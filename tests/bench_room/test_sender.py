"""When requests leave: by the clock in an open loop, after the answer in a closed one."""

from __future__ import annotations

import asyncio
from statistics import median
from time import monotonic

import pytest
from scripted_kit import Call, answers, ask, serving, token, usage

from headrace.bench.alarm import Alarm
from headrace.bench.answers import Answer, Failure
from headrace.bench.asks import Message
from headrace.bench.load import Load
from headrace.bench.sender import Sender, units
from headrace.bench.target import Target

OPEN = Load(patience=15.0)


class Counting:
    """A script that answers after `takes` seconds and knows how many were there at once.

    Nothing is answered before `gather` have been there at once.
    """

    def __init__(self, takes: float, gather: int = 1) -> None:
        self.takes, self.gather, self.now, self.most = takes, gather, 0, 0

    async def __call__(self, call: Call) -> None:
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(self.takes)
        while self.most < self.gather:  # noqa: ASYNC110 - one that hangs is told by its client
            await asyncio.sleep(0.001)
        self.now -= 1
        await call.stream(token(f"{call.number}", "length"), usage(3, 1))


async def test_an_open_loop_sends_when_due_whatever_is_in_flight() -> None:
    dues = [0.0, 0.02, 0.021, 0.05, 0.05, 0.12]
    slow = Counting(0.0, gather=6)
    async with serving(slow) as (address, _):
        found = await answers(address, [ask(n, at=at) for n, at in enumerate(dues)], OPEN)
    assert [round(answer.due, 6) for answer in found] == dues
    assert all(answer.failure is None and answer.lag >= 0 for answer in found)
    assert median(answer.lag for answer in found) < 0.05, "the worst is up to the machine"
    assert slow.most == 6


async def test_a_closed_loop_has_so_many_in_flight_and_sends_at_once() -> None:
    quick = Counting(0.02, gather=3)
    async with serving(quick) as (address, calls):
        found = await answers(
            address, [ask(n) for n in range(12)], Load(concurrency=3, patience=15.0)
        )
    assert quick.most == 3
    assert len(calls) == 12
    ends = sorted(answer.ended for answer in found)
    later = sorted(answer.due for answer in found)[3:]
    assert later == ends[:9], "each is due when an answer ended"
    assert median(answer.lag for answer in found) < 0.05


async def test_a_bound_of_an_open_loop_shows_as_lag() -> None:
    async with serving(slow := Counting(0.1)) as (address, _):
        load = Load(most_in_flight=1, patience=15.0)
        found = await answers(address, [ask(n, at=0.0) for n in range(3)], load)
    assert slow.most == 1
    assert [answer.due for answer in found] == [0.0, 0.0, 0.0]
    first, second, third = found
    assert first.lag + 0.099 < first.ended <= second.lag
    assert second.lag + 0.099 < second.ended <= third.lag


async def test_warm_up_is_marked_by_number_by_time_and_by_the_ask_itself() -> None:
    asks = [
        ask(0, at=0.0),
        ask(1, at=0.01),
        ask(2, at=0.04),
        ask(3, at=0.06, warmup=True),
        ask(4, at=0.07),
    ]
    async with serving(Counting(0.0)) as (address, _):
        found = await answers(address, asks, Load(warmup=1, warmup_seconds=0.03, patience=15.0))
    assert [answer.warmup for answer in found] == [True, True, False, True, False]


async def test_after_the_time_no_request_is_begun_and_those_in_flight_are_waited_for() -> None:
    async with serving(Counting(0.1)) as (address, calls):
        found = await answers(
            address, [ask(n) for n in range(99)], Load(concurrency=2, seconds=0.15, patience=15.0)
        )
    assert 2 <= len(found) == len(calls) <= 4
    assert all(answer.due < 0.15 and answer.failure is None for answer in found)
    assert max(answer.ended for answer in found) > 0.15


async def test_a_conversation_repeats_what_was_said_and_pauses() -> None:
    talk = [
        ask(0, session=7, at=0.0, prompt=(Message("user", "One"),)),
        ask(1, session=7, turn=1, wait=0.05, prompt=(Message("user", "Two"),)),
    ]

    async def answer_it(call: Call) -> None:
        await call.stream(
            b'data: {"choices": [{"delta": {"content": "said"}, "finish_reason": "stop"}]}\n\n',
            usage(1, 1),
        )

    async with serving(answer_it) as (address, calls):
        first, second = await answers(address, talk, OPEN, chat=True)
    assert calls[1].fields["messages"] == [
        {"role": "user", "content": "One"},
        {"role": "assistant", "content": "said"},
        {"role": "user", "content": "Two"},
    ]
    assert second.due == pytest.approx(first.ended + 0.05)
    assert (first.text, second.text) == ("", ""), "texts are kept only where that was asked"


async def test_a_conversation_ends_where_a_turn_has_no_whole_answer() -> None:
    async def cut(call: Call) -> None:
        await call.stream(token("x"))

    talk = [ask(0, session=1), ask(1, session=1, turn=1), ask(2)]
    async with serving(cut) as (address, calls):
        found = await answers(address, talk)
    assert [answer.number for answer in found] == [0, 2]
    assert len(calls) == 2


async def test_a_stop_ends_what_is_in_flight_and_sends_no_more() -> None:
    found: list[Answer] = []
    async with serving(Counting(60.0)) as (address, calls):
        asks = [ask(0, at=0.0), ask(1, at=0.0), ask(2, at=60.0)]
        sender = Sender(Target(address=address, model="m"), OPEN, asks, found.append)
        await sender.prepare()
        running = asyncio.create_task(sender.run(monotonic()))
        while len(calls) < 2:  # noqa: ASYNC110 - the server's list has no event
            await asyncio.sleep(0.001)
        sender.stop()
        await asyncio.wait_for(running, 10)
    assert sorted((one.number, one.failure) for one in found) == [
        (0, Failure.STOPPED),
        (1, Failure.STOPPED),
    ]


async def test_connections_are_kept_unless_told_otherwise() -> None:
    async def ports(load: Load) -> int:
        seen = set()

        async def noting(call: Call) -> None:
            seen.add(call._writer.get_extra_info("peername")[1])
            await call.stream(token("a", "length"), usage(1, 1))

        async with serving(noting) as (address, _):
            await answers(address, [ask(n) for n in range(4)], load)
        return len(seen)

    assert await ports(Load(concurrency=1)) == 1
    assert await ports(Load(concurrency=1, reuse=False)) == 4


async def test_what_is_asked_is_what_vllms_benchmark_asks() -> None:
    heads = []

    async def noting(call: Call) -> None:
        heads.append((call.head, call.fields))
        await call.stream(token("a", "length"), usage(1, 1))

    async with serving(noting) as (address, _):
        target = Target(address=address, model="m", key="sk-1", chat=False)
        sender = Sender(
            target, Load(concurrency=1, exact_length=True), [ask(5)], lambda _: None, mark="bench-x"
        )
        await sender.prepare()
        await sender.run(monotonic())
    head, fields = heads[0]
    assert head.startswith(b"POST /v1/completions HTTP/1.1\r\n")
    assert b"\r\nauthorization: Bearer sk-1\r\n" in head
    assert b"\r\nx-request-id: 5-bench-x\r\n" in head
    assert fields == {
        "model": "m", "prompt": "Say it.", "max_tokens": 8, "temperature": 0.0, "ignore_eos": True,
        "stream": True, "stream_options": {"include_usage": True},
    }  # fmt: skip


def test_units_are_sessions_and_single_requests_in_the_order_of_their_numbers() -> None:
    asks = [ask(3), ask(0, session=2), ask(2, session=2, turn=1), ask(1)]
    assert [[one.number for one in unit] for unit in units(asks)] == [[0, 2], [1], [3]]


async def rings(exact: bool, many: int) -> list[float]:
    """Return how late an alarm was, so many times, always set for a time that no timer counts in."""
    late: list[float] = []
    over = asyncio.Event()
    due = 0.0

    def ring() -> None:
        nonlocal due
        late.append(monotonic() - due)
        if len(late) == many:
            over.set()
        due = monotonic() + 0.00237
        alarm.set(due)

    alarm = Alarm(ring, exact=exact)
    due = monotonic() + 0.001
    alarm.set(due)
    await over.wait()
    alarm.close()
    return late


async def test_an_alarm_rings_on_time_and_never_before() -> None:
    late = sorted(await rings(exact=True, many=60))
    assert late[0] >= 0.0
    assert late[5] < 0.0004, "the worst are up to the machine; a loop's own timers have 0.0006"


async def test_an_alarm_in_the_past_rings_at_once_and_the_last_setting_counts() -> None:
    rung: list[float] = []
    alarm = Alarm(lambda: rung.append(monotonic()))
    alarm.set(monotonic() + 60.0)
    alarm.set(-5.0)
    while not rung:  # noqa: ASYNC110 - the alarm is what is tested
        await asyncio.sleep(0.001)
    alarm.close()
    assert len(rung) == 1
