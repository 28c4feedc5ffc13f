"""How long it takes to choose a replica: `python -m bench.routing.choosing`.

Of 10, 64 and 256 replicas under random load, for prompts of 100 000 tokens with 60 marks: cold (in
no cache), warm (each prompt in the cache of a few) and hot (in the cache of all); idle: warm
without any load, when all scores tie. The goal is below 100 us at p99 with 256. The marks of a
body of 400 KB are timed too (goal: 200 us).
"""

from __future__ import annotations

import gc
import json
import random
from collections.abc import Callable
from time import perf_counter_ns, thread_time_ns

from bench.stats import percentile
from headrace.gateway.prompt import Json, Prompt, TokenRatio, TypicalAnswer
from headrace.routing.choose import Place, choose
from headrace.routing.prefix import Mark, PrefixIndex
from headrace.routing.work import Work

MARKS = 60
TIMES = 3000
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
    places = [Place(f"replica-{n}", 512) for n in range(count)]
    index = PrefixIndex()
    works = [prompt(number, shared=20 if kind == "hot" else 0) for number in range(PROMPTS)]
    for place in places:
        index.resize(place.id, 500_000)
        if kind != "idle":
            place.load, place.running = chance.randrange(60_000), chance.randrange(64)
        if kind != "cold":
            for work in works if kind == "hot" else chance.sample(works, 3):
                index.note(place.id, work.prefix[: chance.randrange(20, MARKS)])
    return lambda n: choose(places, works[n % PROMPTS], n * 0.0137, index, 10.0)


def timed(call: Callable[[int], object], clock: Callable[[], int]) -> str:
    """Return p50 and p99 of a call in microseconds."""
    took = []
    for number in range(TIMES):
        start = clock()
        call(number)
        took.append((clock() - start) / 1000)
    took.sort()
    return f"{percentile(took, 50):9.1f} {percentile(took, 99):9.1f}"


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
    """Print the table: by the wall clock, and in time of this process alone."""
    chance = random.Random(1)
    gc.disable()  # as long as it times single calls
    print(f"{'replicas':>8} {'caches':>8}  wall us: p50 p99     CPU us: p50 p99")
    for count in (10, 64, 256):
        for kind in ("cold", "warm", "hot", "idle"):
            call = scene(count, kind, chance)
            wall, own = timed(call, perf_counter_ns), timed(call, thread_time_ns)
            print(f"{count:8} {kind:>8} {wall} {own}")
    for kind, body in bodies().items():
        ratio, answer = TokenRatio(), TypicalAnswer()

        def hashed(_: int, raw: Json = body.messages) -> object:
            return Prompt(raw).work(ratio, answer)  # noqa: B023  called before the next

        wall, own = timed(hashed, perf_counter_ns), timed(hashed, thread_time_ns)
        print(f"marks of 400 KB, {kind}: {wall} {own}")


if __name__ == "__main__":
    main()
