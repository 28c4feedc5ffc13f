"""The drill's client against a server that says a script, and what it makes of the bytes."""

from __future__ import annotations

import asyncio
import contextlib
import json
from itertools import pairwise

import pytest
from drill_kit import DONE, HEAD, ROLE, WANT, WORDS, an_ask, chunk, event, scripted, seen, words
from hypothesis import given
from hypothesis import strategies as st

from headrace.drill.asks import make_ask
from headrace.drill.client import Target, connect, finish
from headrace.drill.judge import Outcome, judge
from headrace.drill.load import Load, Plan
from headrace.drill.reading import read
from headrace.drill.seen import End, Seen

ANSWER = [HEAD, *map(chunk, [event(ROLE), *words(*WORDS), DONE]), b"0\r\n\r\n"]


def target(port: int, key: str | None = None) -> Target:
    return Target("127.0.0.1", port, "/v1", "m", key)


async def ask_once(port: int, patience: float = 5.0, key: str | None = None) -> Seen:
    stream = await connect(target(port, key), an_ask())
    assert stream is not None
    return await finish(stream, patience)


async def test_a_whole_stream() -> None:
    async with scripted(ANSWER) as (port, asked):
        got = await ask_once(port, key="hr-secret")
    assert judge(got, WANT).outcome is Outcome.WHOLE
    assert (got.status, got.end, got.text) == (200, End.CLOSED, "".join(WORDS))
    assert len(got.times) == len(WORDS)
    assert got.began <= got.times[0] <= got.times[-1] <= got.ended
    head, body = asked[0].split(b"\r\n\r\n", 1)
    assert head.startswith(b"POST /v1/chat/completions HTTP/1.1\r\n")
    assert b"authorization: Bearer hr-secret" in head
    assert json.loads(body) == an_ask().fields("m")


async def test_a_reset_and_a_bare_close_are_lost() -> None:
    for reset in (True, False):
        async with scripted(ANSWER[:5], reset=reset) as (port, _):
            got = await ask_once(port)
        assert got.end is (End.RESET if reset else End.CLOSED)
        assert judge(got, WANT).outcome is Outcome.LOST


async def test_a_client_gives_up_after_silence() -> None:
    left = asyncio.Event()

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(ANSWER[0] + ANSWER[1])
        with contextlib.suppress(ConnectionError):
            await reader.read(-1)  # until the client is gone
        writer.close()
        left.set()

    server = await asyncio.start_server(mute, "127.0.0.1", 0)
    async with server:
        got = await ask_once(server.sockets[0].getsockname()[1], patience=0.05)
        await left.wait()
    assert got.end is End.SILENT
    assert judge(got, WANT).outcome is Outcome.LOST


async def test_nobody_listens() -> None:
    async with scripted(ANSWER) as (port, _):
        pass
    assert await connect(target(port), an_ask()) is None


async def test_a_load_asks_its_number_and_goes_on_while_more_is_wanted() -> None:
    heard: list[Seen] = []
    async with scripted(ANSWER) as (port, asked):
        load = Load(target(port), Plan(20, 4, 5.0), lambda n: an_ask(number=n), heard.append)
        await load.run(lambda: len(heard) < 25)
    assert load.begun == load.ended == len(asked) == len(heard) >= 25
    assert sorted(one.ask.number for one in heard) == list(range(len(heard)))
    assert load.flight == {}
    assert {judge(one, WANT).outcome for one in heard} == {Outcome.WHOLE}


async def test_a_load_does_not_hammer_a_closed_door(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.drill.load._AFTER_REFUSAL", 0.0)
    heard: list[Seen] = []
    async with scripted(ANSWER) as (port, _):
        pass
    await Load(target(port), Plan(3, 1, 5.0), lambda n: an_ask(number=n), heard.append).run(
        lambda: False
    )
    assert [one.end for one in heard] == [End.NO_CONNECTION] * 3


def test_pauses_are_between_tokens_and_know_their_replica() -> None:
    blocks = [event(ROLE), *words(*WORDS), DONE]
    blocks.insert(4, b": continued by chat-2 after 31 ms\n\n")
    got = seen(an_ask(), blocks)
    # A block comes each 10 ms, so the comment makes one gap of 20 ms.
    assert [round(gap, 3) for gap in got.gaps] == [0.01, 0.01, 0.02, 0.01, 0.01, 0.01, 0.01]
    assert [name for _, name in got.replicas] == ["chat-1", "chat-2"]


@given(st.lists(st.integers(0, 2000), max_size=30))
def test_any_split_of_the_bytes_is_the_same_answer(cuts: list[int]) -> None:
    data = b"".join(ANSWER)
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    chunks = [(float(i), data[a:b]) for i, (a, b) in enumerate(pairwise(edges))]
    got = read(an_ask(), 0.0, chunks, 99.0, End.CLOSED)
    assert judge(got, WANT).outcome is Outcome.WHOLE
    assert got.times == sorted(got.times)


@given(st.binary(max_size=300), st.integers(0, 400))
def test_whatever_comes_gets_a_verdict(noise: bytes, at: int) -> None:
    data = b"".join(ANSWER)
    got = read(an_ask(), 0.0, [(1.0, data[:at] + noise + data[at + len(noise) :])], 2.0, End.CLOSED)
    assert judge(got, WANT).outcome in Outcome


def test_asks_differ_and_repeat_and_cover_all_mixes() -> None:
    asks = [make_ask(number, seed=1, tokens=32) for number in range(400)]
    assert asks == [make_ask(number, seed=1, tokens=32) for number in range(400)]
    assert len({ask.prompt for ask in asks}) == 400
    for half in (asks[::2], asks[1::2]):  # what one of two replicas gets, if they take turns
        assert len({(ask.chat, ask.stream, ask.usage, ask.ids) for ask in half}) == 16
    assert make_ask(0, seed=2, tokens=32).prompt != asks[0].prompt
