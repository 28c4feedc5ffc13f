"""However Headrace ends, nothing of it is left: Ctrl-C, SIGTERM, kill -9; and what a second start sees."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import httpx
import psutil
import pytest
from fleet_kit import until, write_fleet

from headrace.local import client
from headrace.local.ports import free_port
from headrace.local.state import StateDir, holder, running_fleets, state_dir

DRIVE = Path(__file__).with_name("drive.py")
Drive = Callable[[], Awaitable[Process]]


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    return state_dir("test", tmp_path / "fleet.yaml", tmp_path / "s")


@pytest.fixture
async def drive(tmp_path: Path) -> AsyncIterator[Drive]:
    """Start the driver like a shell would: in a process group of its own."""
    started: list[Process] = []

    async def start() -> Process:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(DRIVE), str(tmp_path)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            process_group=0,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.returncode is None:
            process.kill()
            await process.wait()


def family(process: Process) -> list[psutil.Process]:
    """Return the supervisor's keepers, engines and gateway."""
    return psutil.Process(process.pid).children(recursive=True)


def gone(processes: list[psutil.Process]) -> bool:
    return not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in processes)


async def said(process: Process) -> str:
    output, _ = await asyncio.wait_for(process.communicate(), 60)
    return output.decode()


async def test_ctrl_c_drains_and_leaves_nothing(
    tmp_path: Path, state: StateDir, drive: Drive
) -> None:
    write_fleet(tmp_path)
    process = await drive()
    await until(state.socket.exists)
    await client.wait_ready(state)
    address = (await client.status(state)).address
    children = family(process)
    assert len(children) == 3  # a gateway, a keeper, an engine
    (state.path / "tmp" / "chat-1").mkdir(parents=True, exist_ok=True)  # long paths have none
    (state.path / "tmp" / "chat-1" / "socket").touch()
    async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
        body = {"model": "chat", "prompt": "long"}
        asking = asyncio.create_task(http.post(f"{address}/completions", json=body))
        await until_running(state)
        os.killpg(process.pid, signal.SIGINT)
        (tmp_path / "go").touch()
        assert (await asking).status_code == 200
    output = await said(process)
    assert process.returncode == 0, output
    assert gone(children)
    assert not state.socket.exists()
    assert not (state.path / "tmp" / "chat-1").exists()
    assert "requests in flight are finished first" in output
    assert f"ready: {address}  model chat" in output
    assert "curl" in output


async def until_running(state: StateDir) -> None:
    async with asyncio.timeout(60):
        while not (await client.status(state)).deployments[0].running:  # noqa: ASYNC110 - polls
            await asyncio.sleep(0.05)


async def test_kill_nine_leaves_nothing_and_the_next_start_works(
    tmp_path: Path, state: StateDir, drive: Drive
) -> None:
    write_fleet(tmp_path, port=free_port())
    first = await drive()
    await until(state.socket.exists)
    await client.wait_ready(state)
    children = family(first)
    first.kill()
    await first.wait()
    assert state.socket.exists()
    assert holder(state) is None
    with pytest.raises(client.NotUpError, match="not up"):
        await client.status(state)
    await until(lambda: gone(children))
    second = await drive()
    await until(lambda: holder(state) is not None)
    await client.wait_ready(state)
    assert (await client.status(state)).pid == second.pid
    second.terminate()
    await said(second)
    assert second.returncode == 0


async def test_killing_headrace_and_all_keepers_at_once_leaves_nothing_after_the_next_start(
    tmp_path: Path, state: StateDir, drive: Drive
) -> None:
    write_fleet(tmp_path)
    (tmp_path / "mode").write_text("family")
    first = await drive()
    await until(state.socket.exists)
    await client.wait_ready(state)
    children = family(first)
    helper = psutil.Process(int((tmp_path / "helper").read_text()))
    keepers = [child for child in children if "keeper" in " ".join(child.cmdline())]
    victims = [psutil.Process(first.pid), *keepers]
    for number in (signal.SIGSTOP, signal.SIGKILL):  # stopped first, so that none can react
        for victim in victims:
            victim.send_signal(number)
    await first.wait()
    await until(lambda: gone([child for child in children if child != helper]))
    assert helper.is_running()
    second = await drive()
    await until(lambda: gone([helper]))
    second.terminate()
    await said(second)


async def test_a_second_up_is_refused_kindly(tmp_path: Path, state: StateDir, drive: Drive) -> None:
    write_fleet(tmp_path)
    first = await drive()
    await until(state.socket.exists)
    second = await drive()
    words = await said(second)
    assert second.returncode == 1
    assert "fleet 'test' is already up at http://127.0.0.1:" in words
    assert f"process {first.pid}, since 20" in words
    assert f"headrace down {tmp_path / 'fleet.yaml'}" in words
    assert "Traceback" not in words
    ((found, who),) = running_fleets(tmp_path / "s")
    assert (found, who.pid) == (state, first.pid)
    first.terminate()
    await said(first)
    assert list(running_fleets(tmp_path / "s")) == []
