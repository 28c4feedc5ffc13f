"""Prefills take their turns, adapters take their slots; times are read off the loop's own clock."""

import asyncio

import pytest

from headrace.emulation.adapters import Adapters
from headrace.emulation.behaviour import Behaviour
from headrace.emulation.books import Books
from headrace.emulation.prefill import Prefills, Turn
from headrace.emulation.wheel import Item, Wheel


class Clock(Wheel):
    """A wheel whose time the test turns: `asked` are the seconds until each item is due."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[float, Item]] = []

    def after(self, seconds: float, item: Item) -> None:
        self.asked.append((seconds, item))

    def turn(self) -> float:
        """Have the only item due; return how long it would have taken."""
        ((seconds, item),) = self.asked
        self.asked.clear()
        item.due()
        return seconds


class Bench:
    """Prefills at 1 s for 1000 tokens and 5 s for an adapter, while the loop's clock stands still."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: 100.0)
        behaviour = Behaviour(prefill=1.0, adapter_load=5.0, adapters=("law", "tax"), max_loras=1)
        self.wheel, self.books = Clock(), Books()
        self.prefills = Prefills(behaviour, Adapters(1), self.wheel, self.books)
        self.done: list[str] = []

    def begin(self, name: str, length: int, adapter: str = "") -> Turn:
        prompt = list(name.encode()) * length
        return self.prefills.begin(prompt, adapter, lambda: self.done.append(name))


@pytest.fixture
async def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(monkeypatch)


async def test_one_after_the_other(bench: Bench) -> None:
    bench.begin("a", 2000)
    bench.begin("b", 100)
    assert bench.wheel.turn() == 2.0
    assert bench.done == ["a"]
    # The clock stands still, so b's turn ends 0.1 s after the 2 s of a.
    assert bench.wheel.turn() == pytest.approx(2.1)
    assert bench.done == ["a", "b"]


async def test_only_what_is_not_cached_takes_time(bench: Bench) -> None:
    bench.begin("a", 2000)
    bench.begin("a", 2000)
    bench.wheel.turn()
    # 1999 // 16 * 16 = 1984 tokens are there by now.
    assert bench.wheel.turn() == pytest.approx(2.016)
    assert (bench.books.prefix_queries, bench.books.prefix_hits) == (4000, 1984)


async def test_a_slow_one_is_slow_here_too(bench: Bench) -> None:
    bench.prefills.slow = 3.0
    bench.begin("a", 1000)
    assert bench.wheel.turn() == 3.0


async def test_one_that_leaves_makes_room_and_caches_nothing(bench: Bench) -> None:
    first = bench.begin("a", 2000)
    bench.begin("a", 1000)
    gone = bench.begin("c", 4000)
    bench.prefills.leave(gone, [])
    bench.prefills.leave(first, [])
    (_, (seconds, second)) = bench.wheel.asked
    assert seconds == 1.0  # at once, and with nothing cached
    first.due()  # its timer still runs out
    assert bench.done == []
    second.due()
    assert bench.done == ["a"]


async def test_an_adapter_is_loaded_when_it_is_not_there(bench: Bench) -> None:
    bench.begin("a", 1000, "law")
    assert bench.wheel.turn() == 6.0
    bench.begin("b", 1000, "law")
    assert bench.wheel.turn() == pytest.approx(6 + 1)
    bench.begin("c", 1000, "tax")
    assert bench.wheel.turn() == pytest.approx(7 + 6)
    bench.begin("d", 1000, "law")
    assert bench.wheel.turn() == pytest.approx(13 + 6)


def test_the_longest_unused_adapter_makes_room() -> None:
    slots = Adapters(2)
    assert [slots.load(name) for name in ("a", "b", "a", "c", "a", "b")] == [
        *(True, True, False),
        True,  # in place of b
        *(False, True),
    ]


def test_an_adapter_in_use_stays() -> None:
    slots = Adapters(2)
    slots.load("a")
    slots.enter("a")
    assert [slots.load(name) for name in ("b", "c", "a")] == [True, True, False]
    assert slots.admits("b")
    slots.enter("b")
    assert not slots.admits("c")
    assert slots.admits("a")
    assert slots.admits("")
    slots.leave("a")
    assert slots.admits("c")
