"""A gateway is replaced under load: nobody is refused, and what the old one has runs to its end."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import psutil
import pytest
from fleet_kit import Running, Up, until

from headrace.gateway import control as gateway
from headrace.gateway.demand import DemandBooks
from headrace.gateway.service import Service
from headrace.local import client

BROKEN_AT_SECOND_START = """
import pathlib, runpy, sys
mark = pathlib.Path(MARK)
if mark.exists():
    print("no such option", file=sys.stderr)
    sys.exit(4)
mark.touch()
runpy.run_module("headrace.gateway", run_name="__main__", alter_sys=True)
"""


async def one_connection(address: str) -> int:
    """Connect, ask, read the status and close: each time a new connection."""
    host, _, port = address.removeprefix("http://").removesuffix("/v1").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(b"GET /v1/models HTTP/1.1\r\nHost: g\r\nConnection: close\r\n\r\n")
        answer = await reader.read()
    finally:
        writer.close()
    return int(answer.split(b" ", 2)[1])


class Knocking:
    """Clients that connect all the time; `failed` are those that were refused or cut."""

    def __init__(self, address: str) -> None:
        self.address, self.answers, self.failed = address, 0, list[str]()

    async def run(self) -> None:
        while True:
            try:
                status = await one_connection(self.address)
            except (OSError, IndexError) as error:
                self.failed.append(repr(error))
            else:
                self.answers += 1
                if status != 200:
                    self.failed.append(str(status))


@asynccontextmanager
async def knocking(running: Running) -> AsyncIterator[Knocking]:
    made = Knocking(running.address)
    tasks = [asyncio.create_task(made.run()) for _ in range(3)]
    try:
        yield made
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def streaming(running: Running) -> AsyncIterator[AsyncIterator[str]]:
    body = {"model": "chat", "prompt": "x", "max_tokens": 3, "stream": True}
    async with (
        httpx.AsyncClient(trust_env=False, timeout=30) as http,
        http.stream("POST", f"{running.address}/completions", json=body) as answer,
    ):
        assert answer.status_code == 200
        yield answer.aiter_lines()


async def first_token(lines: AsyncIterator[str]) -> None:
    async for line in lines:
        if '" 7"' in line:
            return


async def test_five_replacements_refuse_nobody_and_cut_no_stream(up: Up) -> None:
    running = await up()
    await until(lambda: running.states() == ["ready"])
    oldest = running.status().gateway_pid
    assert oldest
    async with knocking(running) as knocks, streaming(running) as lines:
        await first_token(lines)
        before = oldest
        for _ in range(5):
            wanted = knocks.answers + 20
            done = await client.replace_gateway(running.state)
            assert done.old == before
            assert done.new == running.status().gateway_pid != before
            before = done.new
            await until(lambda wanted=wanted: knocks.answers >= wanted)  # type: ignore[misc]
        assert knocks.failed == []
        assert psutil.pid_exists(oldest)
        await until(lambda: running.status().finishing == 1)
        demand = running.status().deployments[0]
        assert (demand.running, demand.replicas[0].in_flight) == (1, 1)
        (running.folder / "release").touch()
        rest = [line async for line in lines if line.startswith("data:")]
        assert rest[-1] == "data: [DONE]"
        await until(lambda: running.status().finishing == 0)
        assert not psutil.pid_exists(oldest)
        await until(lambda: running.status().deployments[0].running == 0)
    assert knocks.failed == []


async def keep_asking(running: Running, asked: list[int]) -> None:
    """Ask again and again on one connection, as clients with a pool do, and pause in between."""
    async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
        while True:
            answer = await http.post(
                f"{running.address}/completions", json={"model": "chat", "prompt": "1, 2, 3"}
            )
            assert answer.status_code == 200
            asked.append(running.status().gateway_pid or 0)
            await asyncio.sleep(0.02 * (len(asked) % 5))


async def test_clients_that_keep_their_connections_notice_nothing(up: Up) -> None:
    running = await up()
    await until(lambda: running.states() == ["ready"])
    asked: list[int] = []
    clients = [asyncio.create_task(keep_asking(running, asked)) for _ in range(4)]

    def heard(count: int) -> bool:
        return len(asked) >= count or any(one.done() for one in clients)

    try:
        for _ in range(5):
            wanted = len(asked) + 20
            await until(lambda wanted=wanted: heard(wanted))  # type: ignore[misc]
            await client.replace_gateway(running.state)
        await until(lambda: running.status().finishing == 0)
        assert not any(one.done() for one in clients)  # one that failed has ended
        assert len(set(asked)) >= 5
    finally:
        for one in clients:
            one.cancel()
        await asyncio.gather(*clients, return_exceptions=True)


async def test_a_replica_that_drains_waits_for_streams_of_the_old_gateway(up: Up) -> None:
    running = await up(drain="20s", grace="30s")
    await until(lambda: running.states() == ["ready"])
    async with streaming(running) as lines:
        await first_token(lines)
        done = await client.replace_gateway(running.state)
        assert done.requests == 1
        await client.scale(running.state, "chat", 0)
        await until(lambda: running.states() == ["draining"])
        (running.folder / "release").touch()
        assert [line async for line in lines if line][-1] == "data: [DONE]"
    await until(lambda: running.states() == [])


async def test_a_gateway_that_gets_a_sigterm_finishes_while_another_serves(up: Up) -> None:
    running = await up()
    await until(lambda: running.states() == ["ready"])
    old = running.status().gateway_pid
    assert old
    async with knocking(running) as knocks, streaming(running) as lines:
        await first_token(lines)
        os.kill(old, signal.SIGTERM)
        await until(lambda: running.status().gateway_pid not in {None, old})
        wanted = knocks.answers + 20
        await until(lambda: knocks.answers >= wanted)
        assert knocks.failed == []
        (running.folder / "release").touch()
        assert [line async for line in lines if line][-1] == "data: [DONE]"
    await until(lambda: running.status().finishing == 0)


async def test_a_gateway_that_cannot_be_replaced_goes_on(up: Up, tmp_path: Path) -> None:
    script = BROKEN_AT_SECOND_START.replace("MARK", repr(str(tmp_path / "mark")))
    running = await up(gateway_command=(sys.executable, "-c", script))
    await until(lambda: running.states() == ["ready"])
    old = running.status().gateway_pid
    with pytest.raises(client.RefusedError, match=r"the old one goes on; (?s:.*)no such option"):
        await client.replace_gateway(running.state)
    assert running.status().gateway_pid == old
    assert await one_connection(running.address) == 200


async def test_the_end_of_the_fleet_shortens_what_an_old_gateway_was_given(up: Up) -> None:
    running = await up(drain="1s", grace="2s")
    await until(lambda: running.states() == ["ready"])
    async with streaming(running) as lines:
        await first_token(lines)
        await client.replace_gateway(running.state)  # the old one may now take an hour
        running.supervisor.hurry()
        assert await asyncio.wait_for(running.task, 60) == 0
        rest = [line async for line in lines if line.startswith("data:")]
        assert "[DONE]" not in "".join(rest)
        assert "drain_timeout" in "".join(rest)


async def test_a_gateway_listens_only_when_it_knows_its_routes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A client that came sooner would be told that its model is not served here."""
    monkeypatch.setattr(Service, "_handle_signals", lambda *_: None)
    ours, theirs = socket.socketpair()
    with socket.create_server(("127.0.0.1", 0)) as listener, ours:
        service = Service(listener.dup(), theirs)
        life = asyncio.create_task(service.run())
        await until(lambda: service._link._transport is not None)
        for _ in range(20):
            await asyncio.sleep(0)
        assert service._server is None
        ours.send(gateway.encode(gateway.Configure(routes=(), deployments=())))
        await until(lambda: service._server is not None)
        service.drain(0.0)
        await life


def test_the_work_of_routes_is_summed_over_gateways_too() -> None:
    books = DemandBooks()
    books.take(1, msgspec.structs.replace(demand(3), routes={"chat": (1, 2), "docs": (2, 1)}))
    books.take(2, msgspec.structs.replace(demand(4), routes={"chat": (3, 4)}))
    total = books.total("chat", 2)
    assert total
    assert total.routes == {"chat": (4, 6), "docs": (2, 1)}


def demand(running: int, arrived: int = 0, **replicas: int) -> gateway.Demand:
    values: dict[str, Any] = {"held": 1, "queued": 2}
    return gateway.Demand(
        deployment="chat", running=running, arrived=arrived, replicas=replicas, **values
    )


def test_demand_is_summed_over_gateways_and_what_arrived_stays() -> None:
    books = DemandBooks()
    books.take(1, demand(3, 10, a=2, b=1))
    assert books.total("chat", 2) is None  # the newest has not spoken: nothing is known
    books.take(2, demand(4, 5, b=4))
    total = books.total("chat", 2)
    assert total
    assert (total.held, total.queued, total.running, total.arrived) == (2, 4, 7, 15)
    assert total.replicas == {"a": 2, "b": 5}
    assert books.of(1) == 6
    books.forget(1)
    total = books.total("chat", 2)
    assert total
    assert (total.running, total.arrived, total.replicas) == (4, 15, {"b": 4})
