"""Made-up observations: a healthy one, and for each cause one that differs from it by that alone."""

from collections.abc import Callable, Mapping
from typing import Any

from headrace.diagnosis.causes import Cause
from headrace.diagnosis.diagnose import diagnose
from headrace.diagnosis.observation import (
    Event,
    Look,
    Machine,
    Observation,
    Outcome,
    Replica,
    Request,
    Waiting,
)

PLAIN: Mapping[str, Any] = {
    "duration": 1.05, "replica": "chat-1", "held": 0.0, "queued": 0.0, "engine": 0.05,
    "engine_queue": 0.0, "ttft": 0.05, "tpot": 0.01, "stalled": 0.0, "prompt_tokens": 100,
    "cached_tokens": 0, "output_tokens": 101,
}  # fmt: skip
QUIET: Mapping[str, Any] = {
    "running": 2, "waiting": 0, "kv_usage": 0.1, "preemptions": 0, "prefix_hits": 0,
    "prefix_queries": 1000, "assigned": 2,
}  # fmt: skip


def asked(at: float, **changed: Any) -> Request:
    """A request of 100 tokens whose 101 tokens took 50 ms and 10 ms each."""
    return Request(at=at, **{**PLAIN, **changed})


def waited(at: float, name: str, seconds: float, **changed: Any) -> Request:
    """One that waited so long before the same work."""
    more = {name: seconds, "ttft": 0.05 + seconds, "duration": 1.05 + seconds}
    return asked(at, **{**more, **changed})


def many(count: int, make: Callable[[float], Request] = asked) -> tuple[Request, ...]:
    return tuple(make(float(number)) for number in range(count))


def looks(count: int = 6, **changed: Any) -> tuple[Look, ...]:
    """Looks a second apart, whose count of tokens grows."""
    return tuple(
        Look(at=float(at), **{"generated": 100.0 * at, **QUIET, **changed}) for at in range(count)
    )


def replica(name: str = "chat-1", **changed: Any) -> Replica:
    given = {"state": "ready", "age": 3600.0, "room": 16, "in_flight": 2, "cpu": 0.5}
    return Replica(name=name, **{**given, "starved": 0.02, "looks": looks(), **changed})


def gateway(count: int = 6, **changed: Any) -> tuple[Waiting, ...]:
    given = {"held": 0, "queued": 0, "running": 2, "stalled": 0}
    return tuple(Waiting(at=float(at), **{**given, **changed}) for at in range(count))


def seen(**changed: Any) -> Observation:
    given: dict[str, Any] = {
        "requests": many(30),
        "earlier": many(20),
        "replicas": (replica(),),
        "waiting": gateway(),
        "machine": Machine(cores=4, others=0.2, idle=3.0, stolen=0.0, by={"cron": 0.2}),
    }
    return Observation(name="chat", seconds=60.0, **{**given, **changed})


def causes(of: Observation) -> list[Cause]:
    return [finding.cause for finding in diagnose(of).findings]


def _alternating(one: Callable[[float], Request], other: Callable[[float], Request]) -> Any:
    return tuple((one if at % 2 else other)(float(at)) for at in range(30))


def long_prompt(at: float) -> Request:
    """4000 tokens whose prefill takes 2 s."""
    return asked(at, prompt_tokens=4000, engine=2.0, ttft=2.0, duration=3.0)


def cold_prompt(at: float) -> Request:
    return asked(at, prompt_tokens=2000, engine=0.5, ttft=0.5, duration=1.5)


def warm_prompt(at: float) -> Request:
    return asked(at, prompt_tokens=2000, cached_tokens=1900)


BUSY = Machine(cores=4, others=2.0, idle=0.1, stolen=0.0, by={"make": 1.8})

SICK: Mapping[Cause, Observation] = {
    Cause.GATEWAY_QUEUE: seen(
        requests=many(30, lambda at: waited(at, "queued", 2.0)),
        waiting=gateway(queued=9, running=16),
    ),
    Cause.TIME_LIMIT: seen(
        requests=(
            *many(20),
            *many(10, lambda at: asked(at, duration=30.0 + at / 100, outcome=Outcome.GONE)),
        )
    ),
    Cause.LONG_PREFILL: seen(requests=_alternating(long_prompt, asked)),
    Cause.OVERLOADED_BATCH: seen(
        requests=many(30, lambda at: asked(at, tpot=0.04, duration=4.05)),
        replicas=(replica(looks=looks(running=16, assigned=16)),),
    ),
    Cause.KV_PRESSURE: seen(
        replicas=(
            replica(looks=(*looks(3, kv_usage=0.99, waiting=3), *looks(3, preemptions=9, waiting=3))),
        )
    ),
    Cause.NOISY_NEIGHBOUR: seen(
        requests=many(30, lambda at: asked(at, tpot=0.03, duration=3.05)),
        replicas=(replica(starved=0.6),),
        machine=BUSY,
    ),
    Cause.SLOW_CLIENT: seen(requests=many(30, lambda at: asked(at, stalled=4.0, duration=5.05))),
    Cause.COLD_MODEL: seen(
        requests=(*many(4, lambda at: waited(at, "held", 20.0)), *many(20)),
        replicas=(replica(age=15.0),),
        events=(Event(at=1.0, kind="started", subject="chat-1"),),
    ),
    Cause.COLD_CACHE: seen(
        requests=many(30, cold_prompt),
        earlier=many(20, warm_prompt),
        replicas=(replica(age=20.0),),
    ),
    Cause.DRAINING: seen(
        requests=(
            *many(20),
            *many(6, lambda at: asked(at, left=("chat-2",), sent_away=True)),
        ),
        replicas=(replica(), replica("chat-2", state="draining")),
    ),
    Cause.LOST_REPLICA: seen(
        events=(Event(at=3.0, kind="crashed", subject="chat-2", text="signal 9"),),
    ),
    Cause.BAD_METRICS: seen(replicas=(replica(looks=looks(running=0, assigned=3)),)),
    Cause.UNEXPLAINED: seen(
        requests=many(30, lambda at: asked(at, promised_ttft=0.01)),
    ),
}  # fmt: skip
"""For each cause an observation that shows it and nothing else."""
