"""How long it takes to choose a replica: `python -m bench.routing.choosing`.

Of 10, 64 and 256 replicas under random load, for prompts of 100 000 tokens with 60 marks: cold (in
no cache), warm (each prompt in the cache of a few) and hot (in the cache of all); idle: warm
without any load, when all scores tie; full: hot, and the last replica alone has room. The goal is
below 100 us at p99 with 256. The marks of a body of 400 KB are timed too (goal: 200 us), and how
long it takes to note what a replica got.

Each request is timed five times, with all others in between. What is the same each time is the
request's; what is not is the machine's: the last two columns have the least of each five.
"""

from __future__ import annotations

import gc
import json
import random
from collections.abc import Callable
from time import perf_counter_ns

from bench.stats import percentile
from headrace.gateway.prompt import Json, Prompt, TokenRatio, TypicalAnswer
from headrace.routing.choose import Place, choose
from headrace.routing.prefix import Mark, PrefixIndex
from headrace.routing.work import Work

MARKS = 60
TIMES = 1000
ROUNDS = 5
KINDS = ("cold", "warm", "hot", "idle", "full")
PROMPTS = 50


def prompt(number: int, shared: int = 0) -> Work:
    """Return work of 100k tokens whose first `shared` marks are everybody's."""
    marks = tuple(
        Mark(hash((0 if place < shared else number, place)), int(500 * 1.0925 ** (place + 1)))
        for place in range(MARKS)
    )
    return Work(100_000, 300, marks)


def scene(count: int, kind: str, chance: random.Random) -> Callable[[int], object]:
    """Return a call that chooses for the n-th request."""
    places = {f"replica-{n}": Place(f"replica-{n}", 512) for n in range(count)}
    index = PrefixIndex()
    hot = kind in {"hot", "full"}
    works = [prompt(number, shared=20 if hot else 0) for number in range(PROMPTS)]
    for number, place in enumerate(places.values(), 1):
        index.resize(place.id, 500_000)
        if kind != "idle":
            place.load, place.running = chance.randrange(60_000), chance.randrange(64)
        if kind == "full" and number < count:
            place.running = place.room
        if kind != "cold":
            for work in works if hot else chance.sample(works, 3):
                index.note(place.id, work.prefix[: chance.randrange(20, MARKS)])
    return lambda n: choose(places, works[n % PROMPTS], n * 0.0137, index, 10.0)


def timed(call: Callable[[int], object], times: int = TIMES) -> tuple[list[float], list[float]]:
    """Return how long calls took, in microseconds: all of them, and the best of each; sorted."""
    rounds = [[_once(call, number) for number in range(times)] for _ in range(ROUNDS)]
    best = [min(took) for took in zip(*rounds, strict=True)]
    return sorted(took for one in rounds for took in one), sorted(best)


def _once(call: Callable[[int], object], number: int) -> float:
    start = perf_counter_ns()
    call(number)
    return (perf_counter_ns() - start) / 1000


def row(call: Callable[[int], object]) -> str:
    """Return p50 and p99 of a call, of all times and of the best."""
    found = [percentile(took, rank) for took in timed(call) for rank in (50, 99)]
    return " ".join(f"{one:8.1f}" for one in found)


def noting() -> Callable[[int], object]:
    """Return a call that notes a prompt that is new to a replica whose cache is full."""
    index, prompts = PrefixIndex(), [prompt(number) for number in range(TIMES)]
    for _ in range(ROUNDS):
        for one in prompts:
            index.note("replica", one.prefix)
    return lambda n: index.note("replica", prompts[n].prefix)


def bodies() -> dict[str, Prompt]:
    """Return prompts of 400 KB: in one message, and in 100."""
    kinds = {"one message": 1, "100 messages": 100}
    text = "The quick brown fox jumps over the lazy dog. " * 8900
    return {
        kind: Prompt(
            json.dumps(
                [{"role": "user", "content": text[: len(text) // count]} for _ in range(count)]
            ).encode()
        )
        for kind, count in kinds.items()
    }


def main() -> None:
    """Print the table."""
    chance = random.Random(1)
    gc.disable()  # as long as it times single calls
    print(f"{'us':>22}: {'p50':>8} {'p99':>8} {'best p50':>8} {'best p99':>8}")
    for count in (10, 64, 256):
        for kind in KINDS:
            print(f"{f'of {count}, {kind}':>22}: {row(scene(count, kind, chance))}")
    print(f"{'noting':>22}: {row(noting())}")
    for kind, body in bodies().items():
        ratio, answer = TokenRatio(), TypicalAnswer()

        def hashed(_: int, raw: Json = body.messages) -> object:
            return Prompt(raw).work(ratio, answer)  # noqa: B023  called before the next

        print(f"{f'marks, {kind}':>22}: {row(hashed)}")


if __name__ == "__main__":
    main()
