"""A key, wherever a client puts it, is in no log, record, metric, error or engine."""

from __future__ import annotations

import asyncio
import socket
import sys
from pathlib import Path

import msgspec
import pytest
from guarded import SECRET, key
from harness import PLAIN, Wire, engine, soon

from headrace.gateway import control
from headrace.routing.route import Route, Rule, Variant

OTHER = "hr-unknown-Zk41mQp8"
"""A key that the gateway does not know: it may be one of somebody else's service."""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def asks(secret: str) -> list[bytes]:
    """Every place that a key may come in, well and badly."""
    body = msgspec.json.encode(PLAIN | {"user": "u", "metadata": {"key": secret}})
    length = f"Content-Length: {len(body)}\r\n"
    kind = "Host: g\r\nContent-Type: application/json\r\n"
    start = f"POST /v1/completions HTTP/1.1\r\n{kind}"
    query = start.replace(" HTTP", f"?api_key={secret}&key={secret} HTTP")
    heads = [
        f"{start}Authorization: Bearer {secret}\r\n{length}",
        f"{start}X-Api-Key: {secret}\r\nCookie: k={secret}\r\nApi-Key: {secret}\r\n{length}",
        f"{query}Authorization: Bearer {secret}\r\n{length}",
        f"{start}Authorization: Basic {secret}\r\nProxy-Authorization: {secret}\r\n{length}",
        f"{start}Authorization: Bearer {secret}\r\nAuthorization: Bearer {secret}\r\n{length}",
        f"{start}Authorization: Bearer {secret}\r\nContent-Length: {secret}\r\n",
        f"{start}Authorization: Bearer {secret}\r\nTransfer-Encoding: {secret}\r\n",
        f"{start}Authorization: Bearer {secret}\r\nExpect: {secret}\r\n{length}",
        f"{start}Authorization: Bearer {secret}\0\r\n{length}",
        f"{start}{secret}: {secret}\r\nAuthorization: Bearer {secret}\r\n{length}X: \0",
        f"{secret} /v1/completions HTTP/1.1\r\n{kind}",
        f"GET /{secret} HTTP/{secret}\r\n{kind}",
        f"GET /v1/models?{secret} HTTP/1.1\r\nHost: {secret}\r\nAuthorization: {secret}\r\n",
    ]
    bad = f'{{"model":"m","{secret}":{secret}}}'.encode()
    wrong = msgspec.json.encode({"model": {secret: secret}, "stream": secret})
    bodies = [
        f"{start}Authorization: Bearer {SECRET}\r\nContent-Length: {len(one)}\r\n\r\n".encode()
        + one
        for one in (bad, wrong, body[:-1])
    ]
    return [f"{head}\r\n".encode() + body for head in heads] + bodies


@pytest.mark.parametrize("secret", [SECRET, OTHER])
async def test_a_key_leaves_no_trace(tmp_path: Path, secret: str) -> None:
    port, admin = free_port(), free_port()
    async with engine() as one:
        static = tmp_path / "static.json"
        static.write_bytes(msgspec.json.encode(_messages(one.port, tmp_path)))
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-X", "dev", "-m", "headrace.gateway",
            "--listen", f"127.0.0.1:{port}", "--admin", f"127.0.0.1:{admin}",
            "--static", str(static),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        heads: list[str] = []
        answering = asyncio.ensure_future(_answer(one, heads))
        replies = [await _exchange(port, ask) for ask in asks(secret)]
        metrics = await _exchange(
            admin, b"GET /metrics HTTP/1.1\r\nHost: g\r\nConnection: close\r\n\r\n"
        )
        public = await _exchange(
            port, b"GET /metrics HTTP/1.1\r\nHost: g\r\nConnection: close\r\n\r\n"
        )
        answering.cancel()
        process.terminate()
        out, err = await soon(process.communicate())
    records = (tmp_path / "records.db").read_bytes()  # folded back: it has all there was
    assert b"headrace_requests_total" in metrics
    assert public.startswith(b"HTTP/1.1 404 ")
    assert bool(heads) == (secret == SECRET)
    assert records
    for place in (out, err, records, metrics, *replies, *map(str.encode, heads)):
        assert secret.encode().lower() not in place.lower()
    assert (out, err) == (b"", b"")


def _messages(engine_port: int, tmp_path: Path) -> list[control.ToGateway]:
    return [
        control.Configure(
            routes=(Route(name="r", rule=Rule(models=("m",)), variants=(Variant("d", 1),)),),
            deployments=(control.Deployment(name="d", queue_limit=10, max_wait=30),),
            keys=(key("one", SECRET),),
            store=control.Store(path=str(tmp_path / "records.db")),
        ),
        control.Replicas(
            deployment="d",
            replicas=(control.Replica(id="d-0", host="127.0.0.1", port=engine_port, room=4),),
        ),
    ]


async def _answer(one: object, heads: list[str]) -> None:
    while True:
        asked = await one.asked.get()  # type: ignore[attr-defined]  # an Engine
        heads.append(asked.head)
        asked.answer_json({"choices": []})


async def _exchange(port: int, ask: bytes) -> bytes:
    """Send bytes; return one reply with its head."""
    async with asyncio.timeout(20):
        while True:
            try:
                wire = Wire(*await asyncio.open_connection("127.0.0.1", port))
                break
            except OSError:
                await asyncio.sleep(0.02)
    wire.send(ask)
    head = await soon(wire.reader.readuntil(b"\r\n\r\n"))
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    body = await soon(wire.reader.readexactly(length))
    wire.writer.close()
    return bytes(head + body)
