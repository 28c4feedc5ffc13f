"""One run: a gateway process with keys, an engine, all inputs, and the verdict."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from bench.fuzz.drive import Driver, Tally
from bench.fuzz.engine import Engine
from bench.fuzz.generated import api_inputs, json_inputs
from bench.fuzz.inputs import Input, Maker
from bench.fuzz.watch import Sample, Watch, leaks
from bench.processes import ROOT, free_port, until_it_listens
from headrace.gateway import control, history
from headrace.gateway.keys import add_key, read_keys
from headrace.gateway.openapi import describe
from headrace.routing.route import Limits, Overflow, Range, Route, Rule, Shadow, Variant

_BUSY = re.compile(r"^Executing <.*> took 0\.\d+ seconds\n", re.MULTILINE)
"""What `-X dev` says of a callback on a machine that has other things to do."""
_PART = 5000  # inputs of one round; between rounds the gateway falls idle and is looked at
_FIRST = 100
"""Inputs before the first look: with the first records the store is opened."""


@dataclass
class Outcome:
    """What a run found; no `violations` is what it should find."""

    tally: Tally
    samples: list[Sample]
    engine_requests: int
    seconds: float
    violations: list[str]


async def run(count: int, seed: int, folder: Path, say: Callable[[str], None]) -> Outcome:
    """Send `count` inputs; `folder` gets the gateway's files."""
    began = time.monotonic()
    key = add_key(folder / "keys.yaml", "fuzz")
    engine = Engine(key)
    server = await asyncio.start_server(engine.serve, "127.0.0.1", 0, limit=2**26)
    backend = server.sockets[0].getsockname()[1]
    async with _gateway(folder, backend) as (process, port, admin):
        driver, watch = Driver(port, key), Watch(process.pid, admin)
        await driver.send_all(iter(Maker(seed, key).make(_FIRST)))
        looks = [await watch.settled()]
        watching = asyncio.create_task(watch.run())
        inputs = _inputs(max(0, count - _FIRST), seed, key)
        sent = 0
        while part := list(itertools.islice(inputs, _PART)):
            await driver.send_all(iter(part))
            sent += len(part)
            looks.append(await watch.idle())
            say(f"{sent:7} inputs, {engine.requests} reached the engine, {looks[-1]}")
            if process.returncode is not None:
                break
        looks.append(await watch.idle(looks[0].descriptors))
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
    server.close()
    violations = [*driver.tally.violations, *engine.violations]
    violations += leaks(looks[0], looks[1 + len(looks) // 5], looks[-1])
    violations += _last_words(process, folder, key)
    samples = [looks[0], *watch.samples, *looks[1:]]
    return Outcome(driver.tally, samples, engine.requests, time.monotonic() - began, violations)


def _inputs(count: int, seed: int, key: str) -> Iterator[Input]:
    """Yield a tenth from hypothesis, a tenth from schemathesis, the rest from `inputs.py`."""
    maker = Maker(seed, key)
    left, number = count, seed
    while left:
        part = min(left, _PART)
        few = part // 10
        mixed = [*json_inputs(few, number, key), *api_inputs(describe(), few, number, key)]
        mixed += maker.make(part - len(mixed))
        maker.shuffle(mixed)
        yield from mixed
        left -= part
        number += 1


@contextlib.asynccontextmanager
async def _gateway(
    folder: Path, backend: int
) -> AsyncIterator[tuple[asyncio.subprocess.Process, int, int]]:
    port, admin = free_port(), free_port()
    static = folder / "static.json"
    static.write_bytes(msgspec.json.encode(_messages(folder, backend)))
    with (folder / "stderr").open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-X", "dev", "-m", "headrace.gateway"),
            *("--listen", f"127.0.0.1:{port}", "--admin", f"127.0.0.1:{admin}"),
            *("--static", str(static), "--drain-timeout", "5"),
            stdout=errors,
            stderr=errors,
            cwd=ROOT,
        )
    try:
        await until_it_listens(port)
        yield process, port, admin
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.wait()


def _messages(folder: Path, backend: int) -> list[control.ToGateway]:
    return [
        control.Configure(
            routes=tuple(_routes()),
            deployments=tuple(
                control.Deployment(
                    name=name,
                    queue_limit=1000,
                    max_wait=10,
                    resume=control.Resume(context=context),
                    adapters=("m-alias",),
                )
                for name, context in (("d", 150), ("e", None), ("cold", None))
            ),
            limits=control.Limits(max_body=256 * 1024, read_timeout=2, keepalive=2),
            keys=read_keys(folder / "keys.yaml"),
            store=control.Store(path=str(folder / "records.db")),
        ),
        *(_replicas(name, backend) for name in ("d", "e")),
        control.Replicas(deployment="cold", replicas=(), coming=True),
    ]


def _routes() -> Iterator[Route]:
    """Yield a route for each thing that can decide a way, and one for the rest."""
    spill, flee = Overflow("e", ("context", "queue")), Overflow("d", ("cold", "down"))
    shadow = Shadow("e", 0.2)
    limits = (
        Limits(requests_per_minute=10**9, tokens_per_minute=10**9, concurrency=10**6),
        Limits(per="key", requests_per_minute=10, max_prompt=50, enforce=False),
        Limits(per="tenant", max_prompt=100_000, max_output=1000),
    )
    yield _route(
        "team", Rule(models=("m",), headers=(("x-team", ("a",)),)), "cold", overflow=(flee,)
    )
    yield _route("long", Rule(models=("m",), prompt=Range(least=100)), "d", overflow=(spill,))
    yield _route("brief", Rule(models=("m",), output=Range(most=64)), "d", "e", shadow=shadow)
    yield _route("rest", Rule(models=("m", "m-alias")), "d", limits=limits, sticky="key")


def _route(name: str, rule: Rule, *deployments: str, **more: Any) -> Route:
    variants = tuple(Variant(deployment, 1) for deployment in deployments)
    return Route(name=name, rule=rule, variants=variants, record_prompts=True, **more)


def _replicas(name: str, backend: int) -> control.Replicas:
    replica = control.Replica(
        id=f"{name}-1", host="127.0.0.1", port=backend, room=64, names=("own", "m-alias")
    )
    return control.Replicas(deployment=name, replicas=(replica,))


def _last_words(process: asyncio.subprocess.Process, folder: Path, key: str) -> Iterator[str]:
    """Yield what the process said or did that it should not have."""
    words = (folder / "stderr").read_text(errors="replace")
    words = _BUSY.sub("", words)
    if words:
        yield f"the gateway said: {words[:2000]}"
    if process.returncode != 0:
        yield f"the gateway ended with {process.returncode}"
    if key.encode() in (folder / "records.db").read_bytes() or key in words:
        yield "the key is in the records or the log"
    everything = history.Wanted(limit=10_000_000)
    for found in history.select(folder / "records.db", everything):
        msgspec.json.decode(found.raw)  # a model's name may have any character
