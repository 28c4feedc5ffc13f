"""A gateway in the test's own loop, engines that misbehave on command, and a raw client."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from headrace.gateway import control, history
from headrace.gateway.gateway import Gateway, Timing
from headrace.gateway.server import Client
from headrace.routing.route import Route, Rule, Variant

PATIENCE = 60.0


async def soon(awaitable: Awaitable[Any]) -> Any:
    """Await with a limit that only a hanging test reaches."""
    return await asyncio.wait_for(awaitable, PATIENCE)


async def until(condition: Callable[[], object]) -> None:
    """Let the loop run until the condition holds."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110  conditions are on objects that signal nothing
            await asyncio.sleep(0.001)


# -- engines ----------------------------------------------------------------------------------


@dataclass
class Asked:
    """One request that reached an engine."""

    head: str
    body: bytes
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    finished: bool = False
    """Whether the engine reads another request from this connection."""

    def over(self) -> bool:
        """Whether the test has written its answer, or closed."""
        return self.finished or self.writer.is_closing()

    def headers(self) -> dict[str, str]:
        lines = self.head.split("\r\n")[1:]
        return dict(line.lower().split(": ", 1) for line in lines if line)

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    def send_chunk(self, payload: bytes) -> None:
        self.writer.write(b"%x\r\n%b\r\n" % (len(payload), payload))

    def start_stream(self) -> None:
        self.send(
            b"HTTP/1.1 200 OK\r\nserver: uvicorn\r\ncontent-type: text/event-stream\r\n"
            b"transfer-encoding: chunked\r\n\r\n"
        )

    def end_stream(self) -> None:
        self.send_chunk(b"data: [DONE]\n\n")
        self.send(b"0\r\n\r\n")
        self.finished = True

    def answer_json(self, value: object, status: str = "200 OK", *, finish: bool = True) -> None:
        self.finished = finish
        body = json.dumps(value).encode()
        self.send(
            b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
            % (status.encode(), len(body), body)
        )

    async def hung_up(self) -> None:
        """Wait until the gateway closed this connection."""
        with contextlib.suppress(ConnectionError):
            assert await soon(self.reader.read(1)) == b""


@dataclass
class Engine:
    """A server whose every answer the test writes itself; `asked` are the requests so far."""

    port: int = 0
    asked: asyncio.Queue[Asked] = field(default_factory=asyncio.Queue)
    connections: int = 0
    refuse: bool = False
    """Close every connection before the first byte of an answer."""
    echo: bool = False
    """Answer every request at once, instead of leaving it to the test."""

    async def next(self) -> Asked:
        return await soon(self.asked.get())

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with (
            contextlib.closing(writer),
            contextlib.suppress(asyncio.IncompleteReadError, ConnectionError),
        ):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                length = int(head.lower().split("content-length: ")[1].split("\r\n")[0])
                body = await reader.readexactly(length)
                if self.refuse:
                    break
                asked = Asked(head.strip(), body, reader, writer)
                if self.echo:
                    asked.answer_json({"choices": []})
                else:
                    self.asked.put_nowait(asked)
                await until(asked.over)


@contextlib.asynccontextmanager
async def engine() -> AsyncIterator[Engine]:
    made = Engine()
    tasks: set[asyncio.Task[None]] = set()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.ensure_future(made.serve(reader, writer)))

    server = await asyncio.start_server(begin, "127.0.0.1", 0, limit=2**26)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0.005)  # transports close one turn of the loop later


# -- the gateway ------------------------------------------------------------------------------


@dataclass
class Rig:
    """A gateway that listens on `port`; `told` is what it told its runtime."""

    gateway: Gateway
    port: int
    told: list[control.FromGateway]
    records: Path | None
    wires: list[Wire] = field(default_factory=list)

    def replicas(
        self, *engines: Engine, room: int = 8, state: str = "ready",
        states: dict[int, str] | None = None, **more: Any,
    ) -> None:  # fmt: skip
        self.gateway.set_replicas(
            control.Replicas(
                deployment="d",
                replicas=tuple(
                    control.Replica(
                        id=f"d-{one.port}",
                        host="127.0.0.1",
                        port=one.port,
                        room=room,
                        state=(states or {}).get(one.port, state),
                    )
                    for one in engines
                ),
                **more,
            )
        )

    def lane(self) -> Any:
        return self.gateway._lanes["d"]

    def demand(self) -> control.Demand:
        return self.lane().demand()

    def demand_of(self, deployment: str) -> control.Demand:
        return self.gateway._lanes[deployment].demand()

    def faults(self) -> list[control.Fault]:
        return [message for message in self.told if isinstance(message, control.Fault)]

    def records_written(self, *, shadow: bool = False) -> list[dict[str, Any]]:
        self.gateway.log.flush()
        assert self.records is not None
        return stored(self.records, shadow=shadow)

    async def connect(self, limit: int = 2**26) -> Wire:
        wire = Wire(*await asyncio.open_connection("127.0.0.1", self.port, limit=limit))
        self.wires.append(wire)
        return wire

    async def post(self, body: object, path: str = "/v1/chat/completions", **headers: str) -> Wire:
        wire = await self.connect()
        wire.post(body, path, **headers)
        return wire


def stored(path: Path, *, shadow: bool = False) -> list[dict[str, Any]]:
    """Every record in a gateway's store, in the order of their writing; or of copies alone."""
    found = history.select(path, history.Wanted(limit=10_000, shadow=shadow))
    return [msgspec.to_builtins(one.record) for one in sorted(found)]


@contextlib.asynccontextmanager
async def rig(
    *,
    queue_limit: int = 100,
    max_wait: float = 60.0,
    stream_usage: bool = True,
    continuation: str = "text",
    silence: float = 30.0,
    timing: Timing | None = None,
    records: Path | None = None,
    **limits: Any,
) -> AsyncIterator[Rig]:
    told: list[control.FromGateway] = []
    gateway = Gateway(told.append, timing)
    gateway.configure(
        control.Configure(
            routes=(
                Route(
                    name="r",
                    rule=Rule(models=("m", "m-alias")),
                    variants=(Variant("d", 1),),
                    continuation=continuation,
                    silence=silence,
                ),
            ),
            deployments=(
                control.Deployment(
                    name="d", queue_limit=queue_limit, max_wait=max_wait, stream_usage=stream_usage
                ),
            ),
            limits=control.Limits(**limits),
            store=control.Store(path=str(records)) if records else None,
        )
    )
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Client(gateway), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    made = Rig(gateway, port, told, records)
    try:
        yield made
    finally:
        server.close()
        for wire in made.wires:
            wire.writer.close()
        gateway.stop()
        for client in list(gateway.clients):
            client.abort()
        await until(lambda: not gateway.clients)
        for wire in made.wires:
            with contextlib.suppress(OSError):
                await wire.writer.wait_closed()
        # A connection attempt may still be under way; its transport must not outlive the loop.
        await asyncio.gather(*(t for t in asyncio.all_tasks() if "Pool._connect" in repr(t)))


# -- the client -------------------------------------------------------------------------------


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return self.json()["error"]["code"]


@dataclass
class Wire:
    """A raw connection to the gateway."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    def post(self, body: object, path: str = "/v1/chat/completions", **headers: str) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        head = (
            f"POST {path} HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(data)}\r\n{lines}\r\n"
        )
        self.send(head.encode() + data)

    def get(self, path: str) -> None:
        self.send(f"GET {path} HTTP/1.1\r\nHost: gateway\r\n\r\n".encode())

    async def head(self) -> tuple[int, dict[str, str]]:
        text = (await soon(self.reader.readuntil(b"\r\n\r\n"))).decode("latin-1")
        first, *lines = text.strip().split("\r\n")
        return int(first.split()[1]), dict(line.lower().split(": ", 1) for line in lines)

    async def chunk(self) -> bytes:
        size = int(await soon(self.reader.readuntil(b"\r\n")), 16)
        payload = await soon(self.reader.readexactly(size))
        assert await soon(self.reader.readexactly(2)) == b"\r\n"
        return payload

    async def chunks(self) -> bytes:
        body = b""
        while part := await self.chunk():
            body += part
        return body

    async def answer(self) -> Answer:
        status, headers = await self.head()
        if headers.get("transfer-encoding") == "chunked":
            return Answer(status, headers, await self.chunks())
        if "content-length" in headers:
            body = await soon(self.reader.readexactly(int(headers["content-length"])))
            return Answer(status, headers, body)
        return Answer(status, headers, await soon(self.reader.read()))

    async def closed(self) -> bool:
        """Wait for the gateway to close; whether nothing more came before."""
        return await soon(self.reader.read()) == b""


# -- what engines say (the shapes of vLLM 0.32) --------------------------------------------------


def token(text: str, finish: str | None = None, extra: str = "") -> bytes:
    reason = json.dumps(finish)
    return (
        'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,'
        f'"model":"m","choices":[{{"index":0,"delta":{{"content":{json.dumps(text)}}},'
        f'"logprobs":null,"finish_reason":{reason},"token_ids":null}}]{extra}}}\n\n'
    ).encode()


def usage_event(prompt: int, completion: int, extra: str = "") -> bytes:
    return (
        'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,'
        f'"model":"m","choices":[],"usage":{{"prompt_tokens":{prompt},'
        f'"total_tokens":{prompt + completion},"completion_tokens":{completion}}}{extra}}}\n\n'
    ).encode()


DONE = b"data: [DONE]\n\n"
STREAM = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hello"}]}
PLAIN = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
