"""Requests to route: a recorded hour of conversations, made-up ones, a hot prefix, strangers."""

from __future__ import annotations

import json
import math
import os
import random
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path

from bench.routing.engine import BLOCK, PREFILL, Request

MOONCAKE = Path(
    os.environ.get("HEADRACE_TRACES", Path(__file__).parents[3] / "shared" / "traces"),
    "mooncake_conversation_trace.jsonl",
)
"""The conversation trace of Mooncake (FAST'25; kvcache-ai/Mooncake on GitHub, Apache-2.0)."""


def mooncake(seed: int, path: Path = MOONCAKE) -> list[Request]:
    """Return the trace; its times, rounded to 3 s, are spread again.

    What a conversation is, it does not say: prompts are taken to be of one when they share the
    first block that fewer than 100 prompts have.
    """
    chance = random.Random(seed)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    shared = Counter(block for row in rows for block in row["hash_ids"])
    requests = []
    for row in rows:
        blocks, prompt = row["hash_ids"], row["input_length"]
        own = next((block for block in blocks if shared[block] < 100), blocks[-1])
        at = row["timestamp"] / 1000 + chance.uniform(0, 3)
        output = max(1, row["output_length"])
        requests.append(Request(at, prompt, output, tuple(blocks[: prompt // BLOCK]), own))
    return sorted(requests, key=lambda one: one.arrives)


def conversations(seed: int, requests: int) -> list[Request]:
    """Return chats of about 6 turns under 4 system prompts of 2k tokens, 20 s between turns."""
    chance, fresh = random.Random(seed), count(1)
    systems = [tuple(next(fresh) for _ in range(4)) for _ in range(4)]
    made: list[Request] = []
    start = 0.0
    for conversation in count():
        if len(made) >= requests:
            return sorted(made, key=lambda one: one.arrives)[:requests]
        start += chance.expovariate(1.0)
        made += _turns(chance, chance.choice(systems), fresh, start, conversation)
    raise AssertionError


def _turns(
    chance: random.Random, system: tuple[int, ...], fresh: Iterator[int], at: float, name: int
) -> Iterable[Request]:
    blocks, length = list(system), len(system) * BLOCK
    while True:
        length += _about(chance, 1200, 1.0)
        blocks += [next(fresh) for _ in range(length // BLOCK - len(blocks))]
        output = _about(chance, 250, 0.7)
        yield Request(at, length, output, tuple(blocks), name)
        length += output
        at += chance.expovariate(1 / 20)
        if chance.random() < 1 / 6:
            return


def hot(seed: int, requests: int) -> list[Request]:
    """Return requests of which 9 in 10 share their first 8k tokens."""
    chance, fresh = random.Random(seed), count(1000)
    prefix = tuple(range(16))
    made, at = [], 0.0
    for _ in range(requests):
        at += chance.expovariate(1.0)
        own = _about(chance, 500, 0.7)
        head = prefix if chance.random() < 0.9 else tuple(next(fresh) for _ in prefix)
        blocks = head + tuple(next(fresh) for _ in range(own // BLOCK))
        prompt = len(head) * BLOCK + own
        made.append(Request(at, prompt, _about(chance, 200, 0.7), blocks, blocks[0]))
    return made


def strangers(seed: int, requests: int) -> list[Request]:
    """Return requests that have nothing in common."""
    chance, fresh = random.Random(seed), count(1)
    made, at = [], 0.0
    for number in range(requests):
        at += chance.expovariate(1.0)
        prompt = _about(chance, 2000, 1.0)
        blocks = tuple(next(fresh) for _ in range(prompt // BLOCK))
        made.append(Request(at, prompt, _about(chance, 250, 0.7), blocks, number))
    return made


def _about(chance: random.Random, median: float, sigma: float) -> int:
    return max(1, min(60_000, int(chance.lognormvariate(math.log(median), sigma))))


def at_load(requests: list[Request], replicas: int, load: float) -> list[Request]:
    """Return the requests in such a time that reading all prompts anew would take `load` of it."""
    work = sum(one.prompt for one in requests) / PREFILL / replicas
    factor = work / load / (requests[-1].arrives - requests[0].arrives)
    return [
        Request(one.arrives * factor, one.prompt, one.output, one.blocks, one.conversation)
        for one in requests
    ]
