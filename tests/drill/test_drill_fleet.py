"""Whole drills on a fleet of engine twins, as a user runs them: no client loses a token.

The tests share one fleet; each leaves it as it found it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import psutil
import pytest

from headrace.drill.report import Report
from headrace.drill.run import Order, drill
from headrace.local import client
from headrace.local.errors import LocalError
from headrace.local.state import StateDir, running_fleets

FLEET = """
fleet: drilled
models: {any: {weights: "file:///nowhere"}}
hardware: {twins: {kind: emulated, ttft: 30ms, tpot: 10ms, start: 100ms}}
deployments:
  twin:
    model: any
    hardware: twins
    max_model_len: 4096
    max_num_seqs: 64
    scaling: {min: 2, max: 4, polling_interval: 1s, sync_period: 1s}
    lifecycle: {startup: 30s, drain: 10s, grace: 20s}
    queue: {limit: 2000, max_wait: 60s}
routes:
  twin: {match: {model: [twin]}, deployment: twin, silence: 1s}
gateway: {port: 0, admin_port: 0}
"""
READY = 60.0


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StateDir]:
    folder = tmp_path_factory.mktemp("d")
    (folder / "fleet.yaml").write_text(FLEET)
    process = subprocess.Popen(
        [sys.executable, "-m", "headrace", "up", str(folder / "fleet.yaml")],
        env={**os.environ, "HEADRACE_STATE": str(folder / "s"), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    ready: queue.Queue[str] = queue.Queue()
    reader = threading.Thread(target=_until_ready, args=(process, ready), daemon=True)
    reader.start()
    try:
        assert ready.get(timeout=READY) == ""
        yield next(state for state, _ in running_fleets(folder / "s"))
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(READY)
        reader.join(READY)


def _until_ready(process: subprocess.Popen[str], ready: queue.Queue[str]) -> None:
    """Read all that is printed; tell `ready` nothing once the fleet serves, else everything."""
    said: list[str] = []
    assert process.stdout is not None
    with process.stdout as lines:
        for line in lines:
            said.append(line)
            if line.startswith("ready: "):
                ready.put("")
    ready.put("".join(said))


async def whole(state: StateDir) -> None:
    """Return when both replicas are ready, as a drill wants it."""
    deadline = time.monotonic() + READY
    while (await client.status(state)).deployments[0].ready < 2:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


async def drilled(state: StateDir, kind: Any, **given: Any) -> Report:
    await whole(state)
    order = {"streams": 24, "concurrency": 12, "tokens": 60, "patience": 30.0, **given}
    report = await drill(state, Order(kind=kind, **order), lambda _: None)
    assert report.good, report.examples
    assert report.whole == report.begun >= order["streams"]
    status = await client.status(state)
    assert not status.deployments[0].paused
    return report


@pytest.mark.parametrize("kind", ["kill", "crash", "hang"])
async def test_streams_of_a_lost_replica_go_on_elsewhere(state: StateDir, kind: str) -> None:
    report = await drilled(state, kind)
    assert report.continued > 0
    assert report.pause_ms.count >= report.continued
    assert report.timeline[0].done


@pytest.mark.parametrize("kind", ["stop", "scale-down"])
async def test_an_orderly_end_costs_nobody_anything(state: StateDir, kind: str) -> None:
    report = await drilled(state, kind)
    assert report.tokens_missing == report.tokens_doubled == 0


async def test_a_gateway_is_replaced_under_load(state: StateDir) -> None:
    before = (await client.status(state)).gateway_pid
    report = await drilled(state, "gateway", streams=40)
    assert (await client.status(state)).gateway_pid != before
    assert report.pause_ms.count > 0


async def test_a_rollout_and_the_way_back(state: StateDir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.drill.harm.WATCH", 0.5)
    file = (await client.status(state)).file
    report = await drilled(state, "rollout")
    status = await client.status(state)
    assert status.file == file
    assert status.rollout is not None
    assert status.rollout.state == "done"  # the way back is a rollout, too
    assert any(not deed.done and deed.who == "rollout" for deed in report.timeline)


async def test_all_of_it_at_once(state: StateDir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.drill.harm.WATCH", 0.5)
    report = await drilled(state, "mixed", streams=300, concurrency=24, every=1.5)
    killed = [deed for deed in report.timeline if deed.what.startswith("SIGKILL")]
    assert len(killed) >= 3
    assert {one.who for one in report.memory} == {"supervisor", "gateway"}
    assert msgspec.json.decode(msgspec.json.encode(report))["lost"] == 0


async def test_a_drill_that_is_interrupted_undoes_what_it_did(state: StateDir) -> None:
    await whole(state)
    command = [
        sys.executable,
        "-m",
        "headrace",
        "drill",
        "--kind",
        "hang",
        "--yes",
        "--duration=60s",
    ]
    process = await asyncio.create_subprocess_exec(
        *command,
        env={**os.environ, "HEADRACE_STATE": str(state.path.parent), "PYTHONUNBUFFERED": "1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout
    told = ""
    while "SIGSTOP to process" not in told:
        told = (await asyncio.wait_for(process.stdout.readline(), READY)).decode()
    stopped = int(told.split("SIGSTOP to process ")[1].split(",")[0])
    process.send_signal(signal.SIGINT)
    _, errors = await asyncio.wait_for(process.communicate(), READY)
    assert process.returncode == 130
    assert errors.decode() == "drill: interrupted; what it had done to the fleet is undone\n"
    with contextlib.suppress(psutil.NoSuchProcess):  # the runtime may have replaced it meanwhile
        assert psutil.Process(stopped).status() != psutil.STATUS_STOPPED
    assert not (await client.status(state)).deployments[0].paused


async def test_a_fleet_with_one_replica_is_not_drilled(state: StateDir) -> None:
    await whole(state)
    await client.scale(state, "twin", 1)
    while (await client.status(state)).deployments[0].ready > 1:  # noqa: ASYNC110 - another process
        await asyncio.sleep(0.05)
    with pytest.raises(LocalError, match=r"has 1 ready replicas .* `headrace scale twin 2`"):
        await drill(state, Order(kind="kill"), lambda _: None)
    with pytest.raises(LocalError, match="no deployment serves 'other'; known: twin"):
        await drill(state, Order(kind="kill", model="other"), lambda _: None)
    await client.scale(state, "twin", None)
