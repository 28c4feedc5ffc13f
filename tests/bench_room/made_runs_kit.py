"""Runs that were never run: answers by hand, or a whole run of a server that is a small simulation."""

from __future__ import annotations

import heapq
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headrace.bench.answers import Answer, Failure
from headrace.bench.run import About, Run
from headrace.bench.samples import Sample

SLO = {"ttft": 1.0, "tpot": 0.05}


def answer(number: int = 0, at: float = 0.0, **fields: Any) -> Answer:
    """A whole answer of 3 tokens: 0.1 s to the first, 0.02 s between them; `at` is due and sent."""
    base = {
        "number": number,
        "due": at,
        "sent": at,
        "first": at + 0.1,
        "last": at + 0.14,
        "ended": at + 0.15,
        "gaps": [0.02, 0.02],
        "prompt_tokens": 10,
        "output_tokens": 3,
        "max_tokens": 3,
        "finish": "length",
        "status": 200,
    }
    return Answer(**{**base, **fields})


def failed(
    number: int, at: float, kind: Failure = Failure.RESET, after: float = 0.5, **fields: Any
) -> Answer:
    """A request without a whole answer."""
    return Answer(number=number, due=at, sent=at, ended=at + after, failure=kind, **fields)


def about(**fields: Any) -> About:
    """Poisson arrivals of one shape unless said otherwise."""
    base: dict[str, Any] = {
        "name": "made",
        "address": "http://127.0.0.1:8080/v1",
        "model": "chat",
        "began": "2026-03-01T10:00:00Z",
        "load": {"warmup": 0, "workers": 1},
        "workload": {
            "shapes": [
                {
                    "name": "chat",
                    "prompt": {"p50": 200, "p99": 800},
                    "output": {"p50": 60, "p99": 60},
                }
            ],
            "arrivals": {"type": "poisson", "rate": 5.0},
        },
    }
    return About(**{**base, **fields})


def run_of(answers: Sequence[Answer], samples: Sequence[Sample] = (), **fields: Any) -> Run:
    """A run of these answers."""
    return Run(about(**fields), list(answers), list(samples))


@dataclass
class Server:
    """A server with so many slots: a FIFO queue, a prefill by length, tokens slower when full."""

    slots: int = 16
    prefill: float = 0.0006
    """Seconds a prompt token."""
    pace: float = 0.012
    """Seconds an output token with nobody else; twice that with all slots taken."""
    stalls: float = 0.002
    """Share of gaps that are a stall of 0.3 s."""
    hit_share: float = 0.0
    replicas: int = 1


def made(
    *,
    rate: float = 5.0,
    count: int = 600,
    server: Server | None = None,
    seed: int = 7,
    warmup: int = 20,
    late: float = 0.0002,
    fail: Mapping[Failure, float] | None = None,
    shapes: Mapping[str, tuple[int, int]] | None = None,
    slo: Mapping[str, float] | None = None,
    gateway: bool = True,
    looks: bool = True,
) -> Run:
    """A run of Poisson arrivals on a made server, with the samples that it would have shown."""
    server, dice = server or Server(), random.Random(seed)
    gaps = [dice.expovariate(1.0) for _ in range(count)]
    stretch = count / rate / sum(gaps)
    due, answers, slots = 0.0, [], [0.0] * (server.slots * server.replicas)
    kinds = dict(shapes or {"chat": (200, 60)})
    for number in range(count):
        due += gaps[number] * stretch
        shape, (prompt, output) = dice.choice(list(kinds.items()))
        sent = due + dice.expovariate(1 / late) if late else due
        free = heapq.heappop(slots)
        start = max(sent + 0.002, free)
        busy = sum(until > start for until in slots) / len(slots)
        prompt = max(8, round(prompt * dice.lognormvariate(0, 0.4)))
        first = start + 0.02 + prompt * server.prefill * dice.uniform(0.9, 1.1)
        each = [
            0.3
            if dice.random() < server.stalls
            else server.pace * (1 + busy) * dice.uniform(0.8, 1.2)
            for _ in range(output - 1)
        ]
        last = first + sum(each)
        heapq.heappush(slots, last)
        one = Answer(
            number=number,
            due=due,
            sent=sent,
            first=first,
            last=last,
            ended=last + 0.001,
            shape=shape,
            warmup=number < warmup,
            gaps=each,
            prompt_tokens=prompt,
            cached_tokens=round(prompt * server.hit_share),
            output_tokens=output,
            max_tokens=output,
            status=200,
            finish="length",
            replica=f"chat-{number % server.replicas + 1}" if gateway else None,
            held=0.0 if gateway else None,
            queued=max(0.0, start - sent - 0.002) if gateway else None,
        )
        answers.append(_broken(one, fail or {}, dice))
    run = Run(
        about(
            load={"warmup": warmup, "workers": 1},
            workload={
                "shapes": [
                    {
                        "name": name,
                        "prompt": {"p50": p, "p99": 3 * p},
                        "output": {"p50": o, "p99": o},
                    }
                    for name, (p, o) in kinds.items()
                ],
                "arrivals": {"type": "poisson", "rate": rate},
                "count": count,
                "seed": seed,
            },
            slo=dict(SLO if slo is None else slo),
            seconds=max(one.ended for one in answers),
        ),
        answers,
    )
    if looks:
        run.samples = samples_of(answers, server, gateway=gateway)
    return run


def _broken(one: Answer, fail: Mapping[Failure, float], dice: random.Random) -> Answer:
    for kind, share in fail.items():
        if dice.random() >= share:
            continue
        one.failure, one.finish = kind, None
        one.detail = {
            Failure.REFUSED: "429 Too Many Requests: the queue of route chat is full (64)",
            Failure.SILENT: "nothing came for 60 s",
        }.get(kind, "connection reset by peer after 31 events")
        if kind in (Failure.REFUSED, Failure.UNREACHABLE):
            one.status = 429 if kind is Failure.REFUSED else None
            one.first = one.last = one.output_tokens = None
            one.gaps, one.ended = [], one.sent + 0.003
    return one


def samples_of(answers: Sequence[Answer], server: Server, *, gateway: bool) -> list[Sample]:
    """What engine, gateway and client would have shown, once a second."""
    end = max(one.ended for one in answers)
    whole = [one for one in answers if one.first is not None]
    found = []
    for second in range(int(end) + 2):
        at = float(second)
        started = [one.sent + (one.queued or 0.0) for one in whole]
        running = sum(s <= at < one.ended for one, s in zip(whole, started, strict=True))
        queued = sum(one.sent <= at < s for one, s in zip(whole, started, strict=True))
        over = [one for one in whole if one.ended <= at]
        begun = [one for one in whole if (one.first or 0.0) <= at]
        found.append(
            Sample(
                at=at,
                source="engine:chat-1",
                values={
                    "running": running,
                    "waiting": 0 if gateway else queued,
                    "kv_usage": min(1.0, running / (server.slots * server.replicas) * 0.8),
                    "ttft_sum": sum(
                        (o.first or 0.0) - o.sent - (o.queued or 0.0) - 0.002 for o in begun
                    ),
                    "ttft_count": len(begun),
                    "generation_tokens": sum(o.output_tokens or 0 for o in over),
                    "prompt_tokens": sum(o.prompt_tokens or 0 for o in begun),
                    "prefix_hits": sum(o.cached_tokens or 0 for o in begun),
                    "prefix_queries": sum(o.prompt_tokens or 0 for o in begun),
                    "preemptions": 0,
                    "success": len(over),
                },
            )
        )
        if gateway:
            found.append(
                Sample(
                    at=at,
                    source="gateway",
                    values={
                        'headrace_held{deployment="chat"}': 0,
                        'headrace_queued{deployment="chat"}': queued,
                        'headrace_running{deployment="chat"}': running,
                        'headrace_ttft_seconds_sum{route="r",deployment="chat"}': sum(
                            (o.first or 0.0) - o.sent - 0.0005 for o in over
                        ),
                        'headrace_ttft_seconds_count{route="r",deployment="chat"}': len(over),
                    },
                )
            )
        found.append(Sample(at=at, source="client", values={"cpu": 0.12, "lag": 0.0004}))
    return found
