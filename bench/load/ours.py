"""The client of `headrace bench` as its workers run it: `python -m bench.load.ours ORDER`."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from time import monotonic, process_time

import uvloop

from bench.load.seen import Order, order, tell
from headrace.bench.answers import Answer
from headrace.bench.asks import Ask
from headrace.bench.load import Load
from headrace.bench.quiet import quiet
from headrace.bench.sender import Sender
from headrace.bench.target import Target
from headrace.bench.worker import more_files


async def _run(given: Order) -> None:
    answers: list[Answer] = []
    asks = [
        Ask(number=number, prompt="Say the time.", max_tokens=given.tokens)
        for number in range(given.requests)
    ]
    target = Target(address=f"http://127.0.0.1:{given.port}/v1", model="m", chat=False)
    load = Load(concurrency=given.clients, keep_texts=True)
    sender = Sender(target, load, asks, answers.append)
    await sender.prepare()
    with quiet():
        cpu, origin = process_time(), monotonic()
        await sender.run(origin)
        wall = monotonic() - origin
        failed = [answer for answer in answers if answer.failure]
        if failed:
            raise SystemExit(f"{len(failed)} failed, the first: {failed[0].detail}")
        tell(len(answers), (pair for one in answers for pair in _times(one, origin)), cpu, wall)


def _times(answer: Answer, origin: float) -> Iterator[tuple[float, float]]:
    seen = accumulate(answer.gaps, initial=origin + (answer.first or 0.0))
    return zip(map(float, answer.text.split()), seen, strict=True)


if __name__ == "__main__":
    more_files()
    uvloop.run(_run(order()))
