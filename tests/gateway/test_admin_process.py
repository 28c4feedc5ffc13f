"""The admin address of a gateway process: inherited, and apart from the public one."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from harness import PLAIN, Wire, engine, soon

from headrace.gateway import control
from headrace.gateway.__main__ import main
from headrace.routing.route import Route, Rule, Variant


@dataclass
class Child:
    process: asyncio.subprocess.Process
    control: asyncio.StreamWriter
    port: int
    admin: int

    async def get(self, port: int, path: str) -> tuple[int, bytes]:
        wire = Wire(*await asyncio.open_connection("127.0.0.1", port))
        wire.get(path)
        answer = await wire.answer()
        wire.writer.close()
        return answer.status, answer.body

    async def until(self, port: int, path: str, status: int) -> bytes:
        async with asyncio.timeout(10):
            while True:
                found, body = await self.get(port, path)
                if found == status:
                    return body
                await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def child() -> AsyncIterator[Child]:
    ours, theirs = socket.socketpair()
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_server(("127.0.0.1", 0)) as admin,
        theirs,
    ):
        fds = (theirs.fileno(), listener.fileno(), admin.fileno())
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "headrace.gateway", "--control-fd", str(fds[0]),
            "--listen-fd", str(fds[1]), "--admin-fd", str(fds[2]), "--drain-timeout", "9",
            pass_fds=fds, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        ports = listener.getsockname()[1], admin.getsockname()[1]
    _, writer = await asyncio.open_connection(sock=ours)
    try:
        yield Child(process, writer, *ports)
    finally:
        writer.close()
        assert await soon(process.communicate()) == (b"", b"")


async def test_it_is_there_before_the_first_client_and_until_the_drain() -> None:
    async with engine() as one, child() as it:
        assert await it.until(it.admin, "/readyz", 503) == b"not configured\n"
        it.control.write(
            control.encode(
                control.Configure(
                    routes=(
                        Route(name="r", rule=Rule(models=("m",)), variants=(Variant("d", 1),)),
                    ),
                    deployments=(control.Deployment(name="d", queue_limit=9, max_wait=9),),
                )
            )
        )
        replica = control.Replica(id="d-0", host="127.0.0.1", port=one.port, room=4)
        it.control.write(control.encode(control.Replicas(deployment="d", replicas=(replica,))))
        await it.until(it.admin, "/readyz", 200)
        assert (await it.get(it.port, "/metrics"))[0] == 404
        assert b"headrace_connections" in await it.until(it.admin, "/metrics", 200)
        wire = Wire(*await asyncio.open_connection("127.0.0.1", it.port))
        wire.post(PLAIN)
        asked = await one.next()
        (demand,) = json.loads(await it.until(it.admin, "/demand", 200))
        assert demand["deployment"] == "d"
        assert (demand["held"], demand["queued"], demand["running"]) == (0, 0, 1)
        assert demand["routes"] == {"r": [0, 1]}
        assert (await it.get(it.port, "/demand"))[0] == 404
        it.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                while True:  # the next gateway answers for metrics then
                    await it.get(it.admin, "/healthz")
        asked.answer_json({"choices": []})
        assert (await wire.answer()).status == 200
        wire.writer.close()
        assert await soon(it.process.wait()) == 0


def test_one_admin_address_is_enough(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--listen", "x:1", "--static", "f", "--admin", "x:2", "--admin-fd", "3"])
    assert "not allowed with" in capsys.readouterr().err
