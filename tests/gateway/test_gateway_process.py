"""The process: its descriptors, its messages, its ends; and the official client against it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import openai
import pytest
from harness import PLAIN, STREAM, Engine, Wire, engine, soon, stored, token, usage_event

from headrace.gateway import control
from headrace.routing.route import Route, Rule, Variant


@dataclass
class Child:
    """A gateway under a runtime's control; the test is the runtime."""

    process: asyncio.subprocess.Process
    control: asyncio.StreamWriter
    lines: asyncio.StreamReader
    port: int

    def say(self, message: control.ToGateway) -> None:
        self.control.write(control.encode(message))

    async def hear(self, kind: type) -> control.FromGateway:
        while True:
            message = control.decode_from_gateway(await soon(self.lines.readline()))
            if isinstance(message, kind):
                return message

    async def connect(self) -> Wire:
        return Wire(*await asyncio.open_connection("127.0.0.1", self.port))

    async def ended(self) -> int:
        return int(await soon(self.process.wait()))


CONFIGURE = control.Configure(
    routes=(Route(name="r", rule=Rule(models=("m",)), variants=(Variant("d", 1),)),),
    deployments=(control.Deployment(name="d", queue_limit=10, max_wait=30),),
)


def replicas(*engines: Engine) -> control.Replicas:
    return control.Replicas(
        deployment="d",
        replicas=tuple(
            control.Replica(id=f"d-{number}", host="127.0.0.1", port=one.port, room=4)
            for number, one in enumerate(engines)
        ),
    )


@contextlib.asynccontextmanager
async def child() -> AsyncIterator[Child]:
    ours, theirs = socket.socketpair()
    with socket.create_server(("127.0.0.1", 0)) as listener, theirs:
        fds = (theirs.fileno(), listener.fileno())
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "headrace.gateway",
            "--control-fd", str(fds[0]), "--listen-fd", str(fds[1]), "--drain-timeout", "5",
            pass_fds=fds, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        port = listener.getsockname()[1]
    reader, writer = await asyncio.open_connection(sock=ours)
    try:
        yield Child(process, writer, reader, port)
    finally:
        writer.close()
        out, err = await soon(process.communicate())
        assert (out, err) == (b"", b"")


async def test_a_runtime_drives_it_and_hears_of_demand() -> None:
    async with engine() as one, child() as it:
        wire = await it.connect()
        wire.get("/readyz")  # waits: nobody is served before the routes are known
        it.say(CONFIGURE)
        listening = await it.hear(control.Listening)
        assert listening == control.Listening(host="127.0.0.1", port=it.port)
        assert (await wire.answer()).status == 200
        wire.post(PLAIN)
        demand = await it.hear(control.Demand)
        while not demand.arrived:
            demand = await it.hear(control.Demand)
        assert (demand.held, demand.running) == (1, 0)
        it.say(replicas(one))
        (await one.next()).answer_json({"choices": []})
        assert (await wire.answer()).status == 200
        while demand.held or demand.running:
            demand = await it.hear(control.Demand)
        wire.writer.close()
        it.say(control.Drain(timeout=5))
        assert await it.ended() == 0


async def test_when_the_runtime_dies_it_finishes_and_leaves() -> None:
    async with engine() as one, child() as it:
        it.say(CONFIGURE)
        it.say(replicas(one))
        await it.hear(control.Demand)
        wire = await it.connect()
        wire.post(STREAM)
        asked = await one.next()
        it.control.close()
        asked.start_stream()
        asked.send_chunk(token("a", "stop"))
        asked.end_stream()
        assert token("a", "stop") in (await wire.answer()).body
        assert await it.ended() == 0
        wire.writer.close()


async def test_sigterm_drains_and_sigint_is_the_runtimes_affair() -> None:
    async with engine() as one, child() as it:
        it.say(CONFIGURE)
        it.say(replicas(one))
        await it.hear(control.Demand)
        wire = await it.connect()
        wire.post(PLAIN)
        asked = await one.next()
        it.process.send_signal(signal.SIGINT)
        it.process.send_signal(signal.SIGTERM)
        while True:  # until nobody listens any more
            try:
                (await it.connect()).writer.close()
            except OSError:
                break
        asked.answer_json({"choices": []})
        answer = await wire.answer()
        assert answer.status == 200
        assert await it.ended() == 0
        wire.writer.close()


async def test_a_second_drain_shortens_the_first_and_never_lengthens_it() -> None:
    async with engine() as one, child() as it:
        it.say(CONFIGURE)
        it.say(replicas(one))
        await it.hear(control.Listening)
        wire = await it.connect()
        wire.post(STREAM)
        (await one.next()).start_stream()
        await wire.head()
        it.say(control.Drain(timeout=3600))
        await it.hear(control.Draining)
        it.say(control.Drain(timeout=0.2))
        it.say(control.Drain(timeout=3600))
        assert b'"code":"drain_timeout"' in await wire.chunks()
        assert await it.ended() == 0
        wire.writer.close()


async def test_an_idle_connection_may_ask_once_more_when_a_drain_begins() -> None:
    async with engine() as one, child() as it:
        it.say(CONFIGURE)
        it.say(replicas(one))
        await it.hear(control.Listening)
        wires = [await it.connect() for _ in range(9)]
        for wire in wires:
            wire.get("/v1/models")
            assert (await wire.answer()).status == 200
        it.say(control.Drain(timeout=5))
        await it.hear(control.Draining)
        for wire in wires:
            wire.get("/v1/models")
        for wire in wires:
            answer = await wire.answer()
            assert (answer.status, answer.headers["connection"]) == (200, "close")
            wire.writer.close()
        assert await it.ended() == 0


@contextlib.asynccontextmanager
async def static(tmp_path: Path, *engines: Engine) -> AsyncIterator[int]:
    messages = [CONFIGURE, replicas(*engines)]
    configure = json.loads(control.encode(messages[0])) | {"store": {"path": str(tmp_path / "log")}}
    file = tmp_path / "static.json"
    file.write_bytes(msgspec.json.encode([configure, messages[1]]))
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "headrace.gateway", "--listen", f"127.0.0.1:{port}",
        "--static", str(file), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONWARNINGS": "error"},
    )  # fmt: skip
    try:
        async with asyncio.timeout(20):
            while True:
                try:
                    (await asyncio.open_connection("127.0.0.1", port))[1].close()
                    break
                except OSError:
                    await asyncio.sleep(0.02)
        yield port
    finally:
        process.terminate()
        out, err = await soon(process.communicate())
        assert (out, err, process.returncode) == (b"", b"", 0)


async def test_the_official_client(tmp_path: Path) -> None:
    async with engine() as one, static(tmp_path, one) as port:
        client = openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="sk-test")
        async with client:
            assert [model.id async for model in client.models.list()] == ["m"]
            messages = [{"role": "user", "content": "hello"}]
            plain = asyncio.create_task(
                client.chat.completions.create(model="m", messages=messages, logprobs=True)
            )
            asked = await one.next()
            assert json.loads(asked.body)["logprobs"] is True
            asked.answer_json(_completion("hi"))
            assert (await soon(plain)).choices[0].message.content == "hi"

            making = asyncio.create_task(
                client.chat.completions.create(model="m", messages=messages, stream=True)
            )
            asked = await one.next()
            asked.start_stream()
            for event in (token("h"), token("i"), token("", "stop"), usage_event(3, 3)):
                asked.send_chunk(event)
            asked.end_stream()
            chunks = [chunk async for chunk in await soon(making)]
            assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "hi"
            assert all(chunk.usage is None for chunk in chunks)

            with pytest.raises(openai.NotFoundError, match="not served here"):
                await client.chat.completions.create(model="x", messages=messages)
    records = stored(tmp_path / "log")
    assert [record["outcome"] for record in records] == ["ok", "ok", "refused"]
    assert records[1]["completion_tokens"] == 3


def _completion(text: str) -> dict[str, object]:
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    return {
        "id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice],
        "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
    }  # fmt: skip
