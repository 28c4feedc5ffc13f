"""The load: an open-loop client that holds a thousand streams and says how late it was itself.

`python -m bench.client` reads a job (one JSON line), warms the target up, prints "warm", and runs
the job when the next line arrives; then it prints the outcome.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from array import array
from collections import deque
from itertools import cycle

import msgspec
import uvloop

from bench.answer import Connection, Tally
from bench.messages import API_KEY, Job, Outcome
from bench.schedule import Kind, arrivals
from bench.stats import quantiles

WARM = b"warm\n"
_GRAIN = 0.001  # libuv's timers count milliseconds: so much is not lateness
_HEARTBEAT = 0.005
_SYSTEM = "You know watermills. Answer in two sentences, with figures where there are any. " * 16
_QUESTION = "What does a headrace bring to the turbines? " * 4
_PATIENCE = 15.0  # seconds beyond the planned end before a request counts as failed
_WARM_UP = Job(
    targets=[], streams=8, tokens=4, gap=0.05, arrivals=0.3, seed=0, stream_rate=50, small_rate=50
)


def request(kind: Kind, job: Job) -> bytes:
    """Return a whole HTTP request; its system prompt is long enough to be sought in caches."""
    prompt = "x" * job.big_bytes if kind is Kind.BIG else _QUESTION
    body: dict[str, object] = {"model": "bench", "max_tokens": job.tokens}
    if kind is Kind.STREAM:
        body["stream"] = True
    body["messages"] = [
        {"role": "system", "content": _SYSTEM},
        {"role": "user", "content": prompt},
    ]
    payload = json.dumps(body).encode()
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\nuser-agent: headrace-bench\r\n"
        f"accept: */*\r\nauthorization: Bearer {API_KEY}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(payload)}\r\n\r\n"
    )
    return head.encode() + payload


class Pool:
    """Free connections per target, used in turn; opens another when none is free."""

    def __init__(self, targets: list[int], tally: Tally) -> None:
        self.tally = tally
        self.free: dict[int, deque[Connection]] = {target: deque() for target in targets}
        self.open = 0  # requests under way
        self._idle = asyncio.Event()
        self._turn = cycle(targets)

    async def connect(self, target: int) -> Connection:
        """Open a connection."""
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(
            lambda: Connection(self, self.tally, target), "127.0.0.1", target
        )
        return connection

    async def fill(self, count: int) -> None:
        """Open connections beforehand, so that opening them is no part of any latency."""
        targets = [next(self._turn) for _ in range(count)]
        for at in range(0, count, 16):
            batch = await asyncio.gather(
                *(self.connect(target) for target in targets[at : at + 16])
            )
            for connection in batch:
                self.free[connection.target].append(connection)

    def begin(self) -> None:
        """Count a request as under way."""
        self.open += 1
        self._idle.clear()

    def end(self) -> None:
        """Count it as over."""
        self.open -= 1
        if not self.open:
            self._idle.set()

    async def wait_until_idle(self, timeout: float) -> None:  # noqa: ASYNC109  a wait in seconds
        """Wait until no request is under way, or for `timeout` seconds."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), timeout)

    def freed(self, connection: Connection) -> None:
        """Take a connection back."""
        self.end()
        self.free[connection.target].append(connection)

    def lost(self, connection: Connection, *, busy: bool) -> None:
        """Forget a connection that the other side closed."""
        if busy:
            self.end()
        elif connection in self.free[connection.target]:
            self.free[connection.target].remove(connection)

    def take(self) -> tuple[int, Connection | None]:
        """Return the next target and a free connection to it, if there is one."""
        target = next(self._turn)
        free = self.free[target]
        return target, free.pop() if free else None


class Run:
    """One job under way."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.tally = Tally()
        self.pool = Pool(job.targets, self.tally)
        self.lags = array("d")
        self.most_open = 0
        self._requests = {kind: request(kind, job) for kind in Kind}
        self._late: set[asyncio.Task[None]] = set()

    async def run(self) -> Outcome:
        """Send everything on time, wait for the answers, and say what was seen."""
        plan = arrivals(self.job)
        await self.pool.fill(int(self.job.streams * 1.15) + 16)
        start = time.perf_counter() + 0.05
        beat = asyncio.create_task(self._heartbeat())
        for at, kind in plan:
            await self._until(start + at)
            self._send(kind)
        deadline = start + self.job.arrivals + self.job.tokens * self.job.gap + _PATIENCE
        await self.pool.wait_until_idle(deadline - time.perf_counter())
        beat.cancel()
        if missing := self._unfinished(len(plan)):
            self.tally.errors["no answer in time"] += missing
        return self._outcome(len(plan))

    async def _until(self, due: float) -> None:
        wait = due - time.perf_counter()
        if wait > 0:
            await asyncio.sleep(wait)
        self.lags.append(max(time.perf_counter() - due - _GRAIN, 0.0))

    async def _heartbeat(self) -> None:
        while True:
            await self._until(time.perf_counter() + _HEARTBEAT)

    def _send(self, kind: Kind) -> None:
        self.pool.begin()
        self.most_open = max(self.most_open, self.pool.open)
        target, connection = self.pool.take()
        if connection is not None:
            self._ask(connection, kind)
            return
        task = asyncio.create_task(self._connect_and_ask(target, kind))
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    async def _connect_and_ask(self, target: int, kind: Kind) -> None:
        try:
            connection = await self.pool.connect(target)
        except OSError as error:
            self.tally.errors[f"cannot connect: {error.strerror}"] += 1
            self.pool.end()
            return
        self._ask(connection, kind)

    def _ask(self, connection: Connection, kind: Kind) -> None:
        connection.ask(self._requests[kind], kind, self.job.tokens + 1)

    def _unfinished(self, planned: int) -> int:
        return planned - self.tally.done - self.tally.errors.total()

    def _outcome(self, planned: int) -> Outcome:
        tally = self.tally
        return Outcome(
            requests=planned,
            chunks=tally.chunks,
            reads=tally.reads,
            most_open=self.most_open,
            ttft=quantiles(tally.ttft),
            gaps=quantiles(tally.gaps),
            latency=quantiles(tally.latency),
            lag_p99=quantiles(self.lags).p99,
            errors=dict(tally.errors),
        )


async def serve() -> None:
    """Warm up, wait for the word, run the job, print the outcome."""
    loop = asyncio.get_running_loop()
    line = await loop.run_in_executor(None, sys.stdin.buffer.readline)
    job = msgspec.json.decode(line, type=Job)
    await Run(msgspec.structs.replace(_WARM_UP, targets=job.targets)).run()
    say(WARM)
    if await loop.run_in_executor(None, sys.stdin.buffer.readline):
        say(msgspec.json.encode(await Run(job).run()) + b"\n")


def say(line: bytes) -> None:
    """Print one line at once."""
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    uvloop.run(serve())
