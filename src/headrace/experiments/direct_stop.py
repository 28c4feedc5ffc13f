"""What clients of a bare engine see when it is told to stop: no gateway stands between.

Several streams are under way when the signal comes; meanwhile its `/health` is looked at and one
new request is tried. So it shows what the engine itself does for its clients, and what it tells a
load balancer that asks whether it is ready.
"""

from __future__ import annotations

import asyncio
import json
import signal
from collections import Counter
from time import monotonic

import httpx
import msgspec
import psutil

from headrace.drill import processes
from headrace.experiments.copies import Copy
from headrace.experiments.errors import ExperimentError
from headrace.local import client

_LOOK = 0.2
_UNDER_WAY = 4
"""Events of every stream after which the signal is sent."""
_BEGIN = 120.0
"""Seconds within which all streams must be under way."""
_SHORT = 10.0
"""Seconds to wait for the new request's answer."""
_WHOLE = "came whole"
_ANSWERED = "was answered as if nothing were"


class Stopped(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen, in seconds from the signal.

    `ends` counts the streams by how they ended; `ready_for` is until when `/health` last said 200,
    `fresh` what became of a new request, `gone` when the process had ended (None: it had not).
    """

    signal: str
    streams: int
    ends: dict[str, int]
    ready_for: float | None
    fresh: str
    gone: float | None

    @property
    def whole(self) -> int:
        """Streams that came to their proper end."""
        return self.ends.get(_WHOLE, 0)

    @property
    def answers(self) -> bool:
        """Whether the new request was answered as it should be."""
        return self.fresh == _ANSWERED


async def stop_directly(
    copy: Copy, number: signal.Signals, streams: int, tokens: int, patience: float
) -> Stopped:
    """Send the signal to the first replica's engine in mid-stream; `patience` in seconds.

    ExperimentError if the streams do not get under way.
    """
    replica, status = copy.replicas[0], await client.status(copy.state)
    if replica.pid is None:
        raise ExperimentError("the copy's replica has no process")
    engine = processes.engine(replica.pid, status.pid)
    async with httpx.AsyncClient(trust_env=False, timeout=httpx.Timeout(patience)) as http:
        some = [_Stream(http, copy, each, tokens) for each in range(streams)]
        reading = [asyncio.create_task(one.read()) for one in some]
        try:
            await _under_way(some, reading)
            processes.send(engine, number)
            begun = monotonic()
            fresh, ready_for, gone, *_ = await asyncio.gather(
                _fresh(http, copy), _ready_for(http, copy, begun, patience),
                _gone(engine, begun, patience), asyncio.wait(reading),
            )  # fmt: skip
        finally:
            for task in reading:
                task.cancel()
    ends = Counter(task.result() for task in reading)
    return Stopped(
        signal=number.name,
        streams=streams,
        ends=dict(ends),
        ready_for=ready_for,
        fresh=fresh,
        gone=gone,
    )


class _Stream:
    """One long answer; `events` counts those with text."""

    def __init__(self, http: httpx.AsyncClient, copy: Copy, number: int, tokens: int) -> None:
        self._http, self._copy = http, copy
        self._body = {**_body(copy, tokens), "stream": True, "ignore_eos": True}
        self._body["prompt"] = f"Request {number}: the long story of a river. It begins"
        self.events = 0

    async def read(self) -> str:
        """Return how it ended, in words."""
        finish, done = "", False
        try:
            url = f"{self._copy.direct.address}/completions"
            async with self._http.stream("POST", url, json=self._body) as answer:
                if answer.is_error:
                    return f"got {answer.status_code}"
                async for line in answer.aiter_lines():
                    done = done or line == "data: [DONE]"
                    if line.startswith("data: {"):
                        said = json.loads(line[6:])
                        if "error" in said:
                            return "ended with an error event"
                        finish = self._heard(said) or finish
        except httpx.TimeoutException:
            return "fell silent"
        except (httpx.HTTPError, ValueError):
            return "broke off"
        return _WHOLE if finish == "length" and done else f"ended short ({finish or 'no finish'})"

    def _heard(self, said: dict[str, list[dict[str, str | None]]]) -> str:
        choice = said["choices"][0] if said.get("choices") else {}
        self.events += bool(choice.get("text"))
        return choice.get("finish_reason") or ""


async def _under_way(some: list[_Stream], reading: list[asyncio.Task[str]]) -> None:
    deadline = monotonic() + _BEGIN
    while any(one.events < _UNDER_WAY for one in some):
        if monotonic() > deadline or any(task.done() for task in reading):
            raise ExperimentError("the streams did not get under way, or ended at once")
        await asyncio.sleep(0.02)


async def _fresh(http: httpx.AsyncClient, copy: Copy) -> str:
    """Try a new request a moment after the signal; return what became of it."""
    await asyncio.sleep(_LOOK)
    try:
        url = f"{copy.direct.address}/completions"
        answer = await http.post(url, json={**_body(copy, 4), "prompt": "1, 2,"}, timeout=_SHORT)
        choice = answer.json()["choices"][0] if answer.is_success else {}
    except httpx.TimeoutException:
        return f"had no answer within {_SHORT:.0f} s"
    except httpx.HTTPError:
        return "found nobody listening"
    except (ValueError, KeyError, IndexError, TypeError):
        return "was answered with rubbish"
    if answer.is_error:
        return f"was refused with {answer.status_code}"
    if not choice.get("text"):
        return f"got 200 and an empty answer ({choice.get('finish_reason')})"
    return _ANSWERED


async def _ready_for(
    http: httpx.AsyncClient, copy: Copy, begun: float, patience: float
) -> float | None:
    """Return until when `/health` said 200, None if it did not any more."""
    url, last = copy.direct.address.removesuffix("/v1") + "/health", None
    while monotonic() - begun < patience:
        try:
            answer = await http.get(url, timeout=_SHORT)
        except httpx.HTTPError:
            return last
        if answer.is_error:
            return last
        last = monotonic() - begun
        await asyncio.sleep(_LOOK)
    return last


async def _gone(engine: psutil.Process, begun: float, patience: float) -> float | None:
    while monotonic() - begun < patience:
        if not engine.is_running() or engine.status() == psutil.STATUS_ZOMBIE:
            return monotonic() - begun
        await asyncio.sleep(_LOOK)
    return None


def _body(copy: Copy, tokens: int) -> dict[str, object]:
    return {"model": copy.direct.model, "max_tokens": tokens, "temperature": 0}
