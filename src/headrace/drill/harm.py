"""What a drill does to a running fleet, one function for each kind.

Everything goes through the fleet's control socket, or is a signal to a process that the fleet names
as its own (`processes.py`). A kind returns when its harm is done; the clients go on until then.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from time import monotonic

import httpx

from headrace.drill import processes
from headrace.drill.change import changed_file
from headrace.drill.kinds import Kind
from headrace.drill.scene import Scene
from headrace.drill.timeline import EVERYBODY
from headrace.local import client, rollout_client
from headrace.local.errors import LocalError
from headrace.local.launching import HOST

WATCH = 5.0
"""Seconds that a rollout of the drill watches each new replica, whatever the file says."""


async def kill(scene: Scene) -> None:
    """SIGKILL the busiest replica in mid-stream."""
    await _signal(scene, signal.SIGKILL)


async def stop(scene: Scene) -> None:
    """SIGTERM the busiest replica in mid-stream, behind the fleet's back."""
    await _signal(scene, signal.SIGTERM)


async def _signal(scene: Scene, number: signal.Signals) -> None:
    await scene.midway()
    scene.signal(await scene.busiest(), number)


async def hang(scene: Scene) -> None:
    """SIGSTOP the busiest replica in mid-stream; it goes on when the drill is over."""
    await scene.midway()
    chosen = await scene.busiest()
    scene.afterwards.callback(processes.send, chosen.process, signal.SIGCONT)
    scene.signal(chosen, signal.SIGSTOP)


async def crash(scene: Scene) -> None:
    """Let the engine die and its server live on: its worker is killed, or the twin told so."""
    await scene.midway()
    chosen = await scene.busiest()
    if not scene.twin:
        processes.send(processes.worker(chosen.process), signal.SIGKILL)
    else:
        url = f"http://{HOST}:{chosen.replica.port}/emulate"
        async with httpx.AsyncClient(trust_env=False) as http:
            (await http.post(url, json={"crash": True})).raise_for_status()
    scene.hit(chosen, f"engine worker crashed, {chosen.replica.in_flight} in flight")


async def scale_down(scene: Scene) -> None:
    """Take one replica away by the fleet's own means."""
    await scene.midway()
    count = scene.replicas - 1
    scene.timeline.did(scene.deployment, f"scaled down from {scene.replicas} to {count}")
    await client.scale(scene.state, scene.deployment, count)


async def rollout(scene: Scene) -> None:
    """Replace all replicas for a file that differs in nothing that matters, and go back."""
    await scene.midway()
    status, _ = await scene.status()
    scene.afterwards.push_async_callback(_go_back, scene, status.file)
    with changed_file(Path(status.file), scene.deployment, "1") as file:
        scene.timeline.did(scene.deployment, "rollout of a changed file begins")
        scene.rolling_since = monotonic()
        await rollout_client.rollout(scene.state, file, WATCH)
        await _follow(scene)
        scene.rolling_since = None
    await _go_back(scene, status.file)


async def _go_back(scene: Scene, file: str) -> None:
    """Return to the file, unless the fleet has it and no rollout is under way."""
    status, _ = await scene.status()
    moves = status.rollout is not None and status.rollout.state in {"running", "paused"}
    if status.file == file and not moves:
        return
    scene.timeline.did(scene.deployment, "return to the file before begins")
    await rollout_client.undo_rollout(scene.state)
    await _follow(scene)


async def _follow(scene: Scene) -> None:
    """Return when the rollout moves no more."""
    await rollout_client.follow_rollout(
        scene.state, lambda line: scene.timeline.saw("rollout", line)
    )


async def gateway(scene: Scene) -> None:
    """Replace the gateway."""
    await scene.midway()
    scene.timeline.did("gateway", "replacement begins", hit=EVERYBODY)
    new = await client.replace_gateway(scene.state)
    was = f"process {new.old} finishes {new.requests} requests"
    scene.timeline.did("gateway", f"replaced by process {new.new}; {was}")


async def mixed(scene: Scene) -> None:
    """Kill a replica every few seconds while the fleet is rolled out, and its gateway replaced."""
    killing = asyncio.create_task(_kill_again_and_again(scene))
    try:
        for turn in (rollout, gateway, rollout):
            await turn(scene)
        await scene.load.all_begun.wait()
    finally:
        killing.cancel()
        await asyncio.wait([killing])
    if not killing.cancelled():
        killing.result()


async def _kill_again_and_again(scene: Scene) -> None:
    """Kill the busiest replica every few seconds, as long as another one is ready.

    Replicas that have just begun are spared, and during a rollout the new ones: it would rightly
    take their death for a bad file. The fleet is told to forget crashes, for it gives up after a
    handful.
    """
    while True:
        await asyncio.sleep(scene.every)
        try:
            scene.signal(await scene.busiest(older=scene.spared), signal.SIGKILL)
        except LocalError:
            continue
        await client.scale(scene.state, scene.deployment, scene.replicas)


KINDS: Mapping[Kind, Callable[[Scene], Coroutine[None, None, None]]] = {
    "kill": kill,
    "stop": stop,
    "hang": hang,
    "crash": crash,
    "scale-down": scale_down,
    "rollout": rollout,
    "gateway": gateway,
    "mixed": mixed,
}
