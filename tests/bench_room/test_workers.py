"""Several processes send as one: one clock, all answers, and a death that is told."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from statistics import median

import psutil
import pytest
from scripted_kit import Call, ask, serving, token, usage

from headrace.bench.answers import Answer, Failure
from headrace.bench.crew import crew_size, parts
from headrace.bench.load import Load, Progress
from headrace.bench.measure import measure
from headrace.bench.samples import Sample
from headrace.bench.target import Page, Target, TargetError


async def answer(call: Call) -> None:
    await asyncio.sleep(0.01)
    await call.stream(token("a"), token("b", "length"), usage(3, 2))


async def forever(call: Call) -> None:
    await call.raw(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
    await asyncio.sleep(60)


async def test_two_processes_send_all_on_one_clock() -> None:
    told: list[Progress] = []
    asks = [ask(n, at=n * 0.01) for n in range(40)]
    async with serving(answer) as (address, calls):
        target = Target(address=address, model="m", chat=False)
        run = await measure(target, asks, Load(workers=2), told.append)
    assert [one.number for one in run.answers] == list(range(40))
    assert all(one.failure is None and one.output_tokens == 2 for one in run.answers)
    assert [round(one.due, 6) for one in run.answers] == [round(n * 0.01, 6) for n in range(40)]
    assert all(one.lag >= 0 for one in run.answers)
    assert median(one.lag for one in run.answers) < 0.1, "the worst is up to the machine"
    order = [int(call.head.split(b"x-request-id: ")[1].partition(b"-")[0]) for call in calls]
    assert median(abs(number - place) for place, number in enumerate(order)) < 4, "they take turns"
    assert {one.values["worker"] for one in run.samples if one.source == "client"} == {0.0, 1.0}
    assert (run.about.clients, run.about.lost, run.about.interrupted) == (2, [], False)
    assert (told[-1].sent, told[-1].ended, told[-1].running) == (40, 40, 0)


async def test_a_stop_returns_what_there_is() -> None:
    stop = asyncio.Event()
    async with serving(forever) as (address, calls):
        target = Target(address=address, model="m", chat=False)
        asks = [ask(0, at=0.0), ask(1, at=0.0), ask(2, at=60.0)]
        measuring = asyncio.create_task(
            measure(target, asks, Load(workers=2), lambda _: None, stop=stop)
        )
        while len(calls) < 2:  # noqa: ASYNC110 - other processes set no event here
            await asyncio.sleep(0.01)
        stop.set()
        run = await asyncio.wait_for(measuring, 60)
    assert [(one.number, one.failure) for one in run.answers] == [
        (0, Failure.STOPPED),
        (1, Failure.STOPPED),
    ]
    assert run.about.interrupted
    assert run.about.lost == []


async def test_a_sender_that_dies_is_told_and_the_others_go_on() -> None:
    killed = asyncio.Event()

    async def fatal(call: Call) -> None:
        if call.number == 4:
            workers = psutil.Process().children()
            victim = next(one for one in workers if "headrace.bench.worker" in one.cmdline())
            os.kill(victim.pid, signal.SIGKILL)
            killed.set()
        if b"x-request-id: 1" in call.head:  # 1, 10 and 11: each has one that it cannot have ended
            await killed.wait()
        await answer(call)

    asks = [ask(n, at=n * 0.05) for n in range(12)]
    async with serving(fatal) as (address, _):
        target = Target(address=address, model="m", chat=False)
        run = await measure(target, asks, Load(workers=2), lambda _: None)
    (lost,), trouble = run.about.lost, run.about.trouble
    assert "died (signal 9)" in lost
    assert 6 <= len(run.answers) < 12
    assert f"{12 - len(run.answers)} of its 6 requests have no answer" in lost
    assert trouble == []


class FullDisk:
    """A keep of which nothing gets onto the disk."""

    def __init__(self) -> None:
        self.tries = 0

    def answers(self, answers: Sequence[Answer]) -> None:
        assert answers
        self.tries += 1
        raise OSError(errno.ENOSPC, "No space left on device")

    def samples(self, samples: Sequence[Sample]) -> None:
        pass


async def test_a_full_disk_is_told_once_and_the_run_goes_on() -> None:
    told: list[Progress] = []
    disk = FullDisk()
    async with serving(answer) as (address, _):
        target = Target(address=address, model="m", chat=False)
        asks = [ask(n, at=n * 0.1) for n in range(8)]
        run = await measure(target, asks, Load(workers=0), told.append, keep=disk)
    assert len(run.answers) == 8
    assert disk.tries == 1
    (trouble,) = run.about.trouble
    assert "nothing was kept on disk" in trouble
    assert "No space left on device" in trouble
    assert told[-1].trouble == trouble


@pytest.fixture
def allowed() -> bool:
    """Whether a process of this user may go ahead of others."""
    tried = (sys.executable, "-c", "from headrace.bench.worker import go_ahead; print(go_ahead())")
    return subprocess.run(tried, check=True, capture_output=True).stdout.strip() == b"True"


async def test_a_run_says_whether_its_senders_went_ahead(allowed: bool) -> None:
    async with serving(answer) as (address, _):
        target = Target(address=address, model="m", chat=False)
        for load, ahead in ((Load(workers=1), allowed), (Load(workers=1, ahead=False), False)):
            run = await measure(target, [ask(0, at=0.0)], load, lambda _: None)
            assert run.about.ahead == ahead


async def test_a_cancelled_run_leaves_no_process() -> None:
    async with serving(forever) as (address, calls):
        target = Target(address=address, model="m", chat=False)
        measuring = asyncio.create_task(
            measure(target, [ask(0, at=0.0)], Load(workers=1), lambda _: None)
        )
        while not calls:  # noqa: ASYNC110 - another process sets no event here
            await asyncio.sleep(0.01)
        measuring.cancel()
        with pytest.raises(asyncio.CancelledError):
            await measuring
    assert not [
        one for one in psutil.Process().children() if "headrace.bench.worker" in one.cmdline()
    ]


@pytest.mark.parametrize(
    "address", ["localhost:8000", "ftp://a/v1", "http://", "http://u:p@h/v1", "http://h:99999/v1"]
)
async def test_an_address_that_is_none(address: str) -> None:
    with pytest.raises(TargetError, match=r"address|password"):
        await measure(Target(address=address, model="m"), [ask()], Load(), lambda _: None)


def test_a_key_shows_nowhere() -> None:
    target = Target(
        address="http://h/v1", model="m", key="sk-secret", scrape=(Page(url="u", source="s"),)
    )
    assert "secret" not in f"{target!r} {target}"


def test_units_and_clients_are_dealt_evenly() -> None:
    asks = [ask(n) for n in range(5)] + [ask(5 + n, session=1, turn=n) for n in range(3)]
    (first, its), (second, others) = parts(Load(concurrency=5, most_in_flight=1), asks, 2)
    assert [one.number for one in its] == [0, 2, 4]
    assert [one.number for one in others] == [1, 3, 5, 6, 7], "a session stays together"
    assert (first.concurrency, second.concurrency) == (3, 2)


@pytest.mark.parametrize(
    ("load", "rate", "tokens", "size"),
    [
        (Load(workers=0), 10.0, 10, 0),
        (Load(workers=3), 10.0, 10, 3),
        (Load(), 10.0, 100, 1),  # 1,000 events/s of 60,000
        (Load(), 100.0, 300, 3),  # 30,000 events/s and 100 requests/s: 0.52 of a core, 0.25 each
        (Load(), 1000.0, 1000, 7),  # never all cores
        (Load(concurrency=8), 0.0, 100, 1),
        (Load(concurrency=400), 0.0, 100, 3),  # 40,000 events/s and 400 requests/s at most: 0.75
    ],
)
def test_as_many_processes_as_it_takes(load: Load, rate: float, tokens: int, size: int) -> None:
    asks = [ask(n, at=n / rate if rate else None, max_tokens=tokens) for n in range(200)]
    assert crew_size(load, asks, cores=8) == size
