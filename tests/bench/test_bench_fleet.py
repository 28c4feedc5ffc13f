"""The fleet bench: what it asks, what it reads of answers, its arithmetic, and one small run."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from bench.fleet.client import Answer, Target, ask
from bench.fleet.drive import Turn, drive
from bench.fleet.mix import FILE, measure, with_routes, without_routes
from bench.fleet.report import figures, imbalance
from bench.fleet.stack import messages
from bench.fleet.talks import Shape, Talk, conversations, hot, mixed, unshared

from headrace.emulation.behaviour import Behaviour, Faults
from headrace.emulation.engine import TwinEngine
from headrace.emulation.faces.vllm import VllmFace
from headrace.emulation.http import Server
from headrace.fleet.checks import warnings
from headrace.fleet.load import load_fleet
from headrace.gateway.control import Configure, Replicas

BODY = {"model": "chat", "stream": True, "max_tokens": 5, "min_tokens": 5}
HELLO: dict[str, Any] = BODY | {"messages": [{"role": "user", "content": "hello"}]}
USAGE = {"stream_options": {"include_usage": True}}


@asynccontextmanager
async def twin(**faults: Any) -> AsyncIterator[Target]:
    behaviour = Behaviour(
        version="0.32.0",
        names=("chat",),
        enable_prompt_tokens_details=True,
        faults=Faults(**faults),
    )
    server = Server()
    port = await VllmFace(TwinEngine(behaviour, list[int]().append)).listen(server, "127.0.0.1", 0)
    try:
        yield Target("127.0.0.1", port)
    finally:
        await server.close()


# -- what is asked


@pytest.mark.parametrize("make", [conversations, hot, unshared])
def test_the_same_seed_asks_the_same(make: Any) -> None:
    shape = Shape(1, 5.0, 10.0)
    assert make(shape) == make(shape)
    assert make(shape) != make(Shape(2, 5.0, 10.0))
    assert all(0 < talk.start < 10 for talk in make(shape))


def test_another_salt_asks_other_things_at_the_same_times() -> None:
    once, again = (hot(Shape(1, 5.0, 10.0, salt=salt)) for salt in "ab")
    assert [talk.start for talk in once] == [talk.start for talk in again]
    assert not {talk.asks for talk in once} & {talk.asks for talk in again}


def test_nine_in_ten_share_the_hot_prefix() -> None:
    talks = hot(Shape(1, 100.0, 10.0))
    kinds = Counter(talk.kind for talk in talks)
    assert 0.85 < kinds["hot"] / len(talks) < 0.95
    assert len({talk.system for talk in talks if talk.kind == "hot"}) == 1
    assert len({talk.system for talk in talks}) == 1 + kinds["other"]


def test_the_mix_is_in_order_and_has_the_lengths_that_it_says() -> None:
    talks = mixed(1, 60.0, 0.5)
    assert [talk.start for talk in talks] == sorted(talk.start for talk in talks)
    lengths = [len(talk.asks[0].split()) for talk in talks if talk.kind == "document"]
    assert lengths
    assert all(10_000 <= length <= 40_000 for length in lengths)


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "https://127.0.0.1/v1", "http:///v1"])
def test_another_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="expected an address such as"):
        Target.of(url)


def test_an_address() -> None:
    assert Target.of("http://127.0.0.1:8080/v1/") == Target("127.0.0.1", 8080, "/v1")


# -- what is read of answers


async def test_an_answer() -> None:
    async with twin() as target:
        found = await ask(target, HELLO | USAGE, 10)
        assert (found.wrong, found.cached) == ("", 0)
        assert found.ttft is not None
        assert found.text
        assert found.prompt == len("<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n")
        again = await ask(target, HELLO | USAGE, 10)
        assert (again.text, again.cached) == (found.text, 48)  # 54 // 16 blocks


@pytest.mark.parametrize(
    ("faults", "wrong"),
    [
        ({"fail": True}, "Internal Server Error"),
        ({"error_after": 2}, "EngineCore encountered an issue"),
        ({"reset_after": 2}, "reset by peer"),
        ({"hang_after": 2}, "TimeoutError"),
    ],
)
async def test_what_goes_wrong_is_said(faults: dict[str, Any], wrong: str) -> None:
    async with twin(**faults) as target:
        found = await ask(target, HELLO, 0.5 if "hang_after" in faults else 10)
        assert wrong in found.wrong


async def test_nobody_there() -> None:
    async with twin() as target:
        pass
    assert (await ask(target, HELLO, 10)).wrong


async def test_a_conversation_goes_on_from_its_answers() -> None:
    talk = Talk("talk", 0.0, ("hello", "and then"), tokens=20)
    async with twin() as target:
        first, second = await drive(target, [talk])
        assert [turn.number for turn in (first, second)] == [0, 1]
        # All but the last token of the first turn is cached, in whole blocks of 16.
        assert second.answer.cached == (first.answer.prompt + 20 - 1) // 16 * 16


async def test_a_conversation_that_fails_ends() -> None:
    async with twin(fail=True) as target:
        (turn,) = await drive(target, [Talk("talk", 0.0, ("a", "b"), tokens=2)])
        assert turn.answer.wrong


# -- arithmetic


def test_imbalance() -> None:
    assert imbalance(Counter(a=2, b=2), 2) == 1
    assert imbalance(Counter(a=3, b=1), 2) == 1.5
    assert imbalance(Counter(a=4), 4) == 4  # three got nothing
    assert imbalance(Counter(), 4) == 0


def test_figures() -> None:
    def turn(ttft: float, replica: str, cached: int) -> Turn:
        return Turn("x", 0, Answer(ttft=ttft, prompt=100, cached=cached, replica=replica), 0.0)

    broken = Turn("x", 0, Answer(ttft=9.0, prompt=100, wrong="reset"), 0.0)
    found = figures([turn(0.1, "a", 0), turn(0.2, "a", 90), turn(0.6, "b", 60), broken], 2)
    assert (found.turns, found.failed) == (4, 1)
    assert (found.p50, found.p99) == (0.2, 0.6)
    assert found.mean == pytest.approx(0.3)
    assert found.cached == 0.5
    assert found.requests == pytest.approx(4 / 3)  # 2 of 3, where 1.5 would be even
    assert found.prefill == pytest.approx(110 * 2 / 150)


def test_figures_of_nothing() -> None:
    assert figures([], 2).row("none").split()[:3] == ["none", "0", "0"]


# -- the demonstration


def test_the_example_says_nothing_that_needs_a_warning() -> None:
    assert list(warnings(load_fleet(FILE).fleet)) == []


def test_both_plans_have_as_many_replicas() -> None:
    fleet = load_fleet(FILE).fleet
    routed, plain = with_routes(fleet), without_routes(fleet)
    assert [(group.name, group.count) for group in routed.groups] == [
        ("small", 1),
        ("demo", 2),
        ("long", 1),
    ]
    assert [(group.name, group.count) for group in plain.groups] == [("long", 4)]
    assert [route.name for route in plain.routes] == ["all"]


def test_the_gateway_is_told_of_every_twin() -> None:
    plan = with_routes(load_fleet(FILE).fleet)
    ports = {"small": [1], "demo": [2, 3], "long": [4]}
    configure, *replicas = messages(plan, ports)
    assert isinstance(configure, Configure)
    assert [route.name for route in configure.routes] == list(load_fleet(FILE).fleet.routes)
    told = {
        r.id: (r.port, r.cache) for m in replicas if isinstance(m, Replicas) for r in m.replicas
    }
    assert told == {
        "small-0": (1, 46_592),
        "demo-0": (2, 46_592),
        "demo-1": (3, 46_592),
        "long-0": (4, 262_144),
    }


def test_a_small_run_through_the_real_gateway() -> None:
    talks = [
        Talk("complete", 0.0, ("the river",), tokens=4, model="complete"),
        Talk("chat", 0.0, ("the river", "and then"), tokens=4),
        replace(
            mixed(1, 60.0, 0.5)[0],
            kind="document",
            start=0.1,
            asks=("river " * 7000,),
            model="chat",
        ),
    ]
    turns = measure(with_routes(load_fleet(FILE).fleet), talks)
    assert [turn.answer.wrong for turn in turns] == [""] * 4
    where = {turn.kind: turn.answer.deployment for turn in turns}
    assert (where["complete"], where["document"]) == ("small", "long")
    assert where["chat"] in {"demo", "small"}  # 5 % of the conversations
