"""Starts an engine, waits for the right answer, looks at what it holds and does, and ends it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import httpx
import psutil

from bench.starts.launches import Launch

_PATIENCE = 300.0
_STEP = 0.05
_PROMPT, _ANSWER = "1, 2, 3, 4, 5, 6,", " 7"
_STREAMS, _TOKENS, _REPEATS = 16, 64, 5


@dataclass(frozen=True)
class Seen:
    """Of one start: seconds to `health` and to the right answer, CPU seconds until then.

    `memory` is bytes of all its processes, shared pages counted once; `rate` is tokens a second
    with 16 requests at once, afterwards.
    """

    health: float
    answer: float
    cpu: float
    memory: int
    rate: float


def run(launch: Launch, *, work: bool = True) -> Seen:
    """Start it and see; RuntimeError with the end of its log if it does not get ready."""
    with tempfile.TemporaryDirectory() as folder, started(launch, Path(folder)) as (process, began):
        health = _wait(launch, process, Path(folder)) - began
        _answer(launch)
        answer = time.monotonic() - began
        family = [
            psutil.Process(process.pid),
            *psutil.Process(process.pid).children(recursive=True),
        ]
        cpu = sum(sum(one.cpu_times()[:2]) for one in family)
        memory = sum(one.memory_full_info().pss for one in family)
        rate = asyncio.run(_rate(launch)) if work else 0.0
        return Seen(health, answer, cpu, memory, rate)


@contextmanager
def started(launch: Launch, folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], float]]:
    """Run it while the block lasts; nothing of it is left afterwards."""
    with (folder / "log").open("wb") as log:
        began = time.monotonic()
        process = subprocess.Popen(
            launch.argv, env=launch.env, stdout=log, stderr=log, start_new_session=True, cwd=folder
        )
    try:
        yield process, began
    finally:
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(30)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait(launch: Launch, process: subprocess.Popen[bytes], folder: Path) -> float:
    deadline = time.monotonic() + _PATIENCE
    with httpx.Client(trust_env=False) as client:
        while time.monotonic() < deadline and process.poll() is None:
            try:
                if client.get(f"http://127.0.0.1:{launch.port}/health").is_success:
                    return time.monotonic()
            except httpx.TransportError:
                time.sleep(_STEP)
    raise RuntimeError((folder / "log").read_text(errors="replace")[-3000:])


def _answer(launch: Launch) -> None:
    asked = {"model": "m", "prompt": _PROMPT, "max_tokens": 2, "temperature": 0}
    with httpx.Client(trust_env=False, timeout=60) as client:
        said = client.post(f"http://127.0.0.1:{launch.port}/v1/completions", json=asked)
    text = said.raise_for_status().json()["choices"][0]["text"]
    if text != _ANSWER:
        raise RuntimeError(f"it answered {text!r} instead of {_ANSWER!r}")


async def _rate(launch: Launch) -> float:
    url = f"http://127.0.0.1:{launch.port}/v1/completions"
    async with httpx.AsyncClient(trust_env=False, timeout=120) as client:
        asks: list[dict[str, object]] = [
            {"model": "m", "prompt": f"Story {n}:", "max_tokens": _TOKENS, "ignore_eos": True}
            for n in range(_STREAMS)
        ]
        return median([await _once(client, url, asks) for _ in range(_REPEATS)])


async def _once(client: httpx.AsyncClient, url: str, asks: list[dict[str, object]]) -> float:
    began = time.monotonic()
    for said in await asyncio.gather(*(client.post(url, json=ask) for ask in asks)):
        said.raise_for_status()
    return _STREAMS * _TOKENS / (time.monotonic() - began)
