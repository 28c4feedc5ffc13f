"""Copies of a deployment beside the user's fleet: a fleet of its own, which ends with us.

A copy is `headrace up` on a changed file, so it starts, serves and stops as the user's fleet does.
It runs under a keeper (`local/kept.py`): whatever ends us ends the copy, its gateway and its
engine.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from ruamel.yaml import YAML

from headrace.bench.symptoms import GATEWAY
from headrace.bench.target import Target
from headrace.engines.vllm_memory_log import memory_said
from headrace.experiments.change import Change, copied
from headrace.experiments.copy_folder import copy_folder
from headrace.experiments.errors import ExperimentError
from headrace.experiments.room import check_room
from headrace.fleet.load import FleetFile, load_fleet
from headrace.local import client, logs
from headrace.local.client import NotUpError
from headrace.local.kept import Kept, Program, start
from headrace.local.launching import HOST
from headrace.local.metrics_pages import metrics_pages
from headrace.local.state import LONGEST_SOCKET_PATH, StateDir, state_dir
from headrace.models.lock import lock_path, read_lock, write_lock
from headrace.view.display import phases
from headrace.view.states import State
from headrace.view.status import DeploymentStatus, FleetStatus, ReplicaStatus

_LOOK = 0.1
"""Seconds between two looks at a copy that starts."""
_GRACE = 45.0
"""Seconds that a copy gets to stop: its drain, its engine's grace, and some."""
_WORDS = 12
"""Lines of its output that are quoted when it does not start."""


@dataclass(frozen=True)
class Copy:
    """A copy that is ready.

    `endpoint` is its gateway's address, `direct` its first replica's own. `kv_tokens` and
    `concurrency` ("Maximum concurrency for N tokens") are from the engine's log, None where it
    does not tell. `started` is the seconds of its start, `file` its fleet file.
    """

    endpoint: Target
    direct: Target
    state: StateDir
    file: FleetFile
    replicas: tuple[ReplicaStatus, ...]
    kv_tokens: int | None
    concurrency: float | None
    started: float

    def memory(self) -> int:
        """Return the bytes that the replicas' processes hold now, shared pages counted once."""
        return sum(_memory(replica.pid) for replica in self.replicas if replica.pid)


@asynccontextmanager
async def started(
    file: FleetFile, deployment: str, change: Change, doing: Callable[[str], None]
) -> AsyncIterator[Copy]:
    """Give a copy that is ready; it has ended when the block is left, however that is.

    `doing` hears how far the start is. Raises ExperimentError, FleetError for a change that the
    file's rules refuse, and what `headrace up` raises.
    """
    with copy_folder() as root:
        path = write(root, file, deployment, change)
        copy = load_fleet(path)
        state = state_dir(copy.fleet.fleet, path, root)
        _check_length(state)
        check_room(copy)
        began = time.monotonic()
        kept = await start(_program(path, root))
        try:
            status = await _ready(kept, state, copy, deployment, doing)
            yield _copy(status, state, copy, time.monotonic() - began)
        finally:
            await _ended(kept)


async def _ended(kept: Kept) -> None:
    """Stop a copy; whoever is cancelled meanwhile kills it, and still waits: its folder goes next.

    Raises CancelledError then, once nothing of the copy is left.
    """
    kept.terminate()
    hurried = False
    while not kept.gone.done():
        try:
            await asyncio.wait([kept.gone])
        except asyncio.CancelledError:
            hurried = True
            kept.kill()
    if hurried:
        raise asyncio.CancelledError


def _check_length(state: StateDir) -> None:
    if len(os.fsencode(state.socket)) > LONGEST_SOCKET_PATH:
        raise ExperimentError(
            f"copies are kept below {tempfile.gettempdir()}, which is too long a path for their"
            " sockets; set TMPDIR to a shorter one, such as /tmp"
        )


def write(folder: Path, file: FleetFile, deployment: str, change: Change) -> Path:
    """Write the copy's fleet file, and beside it the lock of the weights that it shares."""
    path = folder / "fleet.yaml"
    with path.open("w", encoding="utf-8") as out:
        YAML(typ="safe").dump(copied(file, deployment, change), out)
    model = file.fleet.deployments[deployment].model
    entries = read_lock(lock_path(file.path))
    if model in entries and change.weights is None:
        write_lock(lock_path(path), {model: entries[model]})
    return path


def _program(path: Path, root: Path) -> Program:
    argv = (sys.executable, "-P", "-m", "headrace", "up", str(path))
    environment = {**os.environ, "HEADRACE_STATE": str(root), "PYTHONUNBUFFERED": "1"}
    return Program(argv, environment, path.with_name("up.log"), _GRACE)


async def _ready(
    kept: Kept, state: StateDir, copy: FleetFile, deployment: str, doing: Callable[[str], None]
) -> FleetStatus:
    """Return the status once all replicas are ready; ExperimentError if they will not be."""
    wanted = copy.fleet.deployments[deployment].scaling.min
    while True:
        if kept.exit.done():
            raise ExperimentError(f"the copy ended before it was ready:\n{_said(copy.path)}")
        status = await _status(state)
        if status is not None:
            one = status.deployments[0]
            if one.ready >= wanted:
                return status
            _check(one)
            doing("; ".join(f"{replica.id}: {phases(replica)}" for replica in one.replicas))
        else:
            doing("".join(logs.tail(copy.path.with_name("up.log"), 1)))
        await asyncio.sleep(_LOOK)


async def _status(state: StateDir) -> FleetStatus | None:
    """Return the status of a copy, None while it only prepares."""
    if not state.socket.exists():
        return None
    try:
        return await client.status(state)
    except NotUpError:
        return None


def _check(deployment: DeploymentStatus) -> None:
    if deployment.crashes:
        words = deployment.last_words or "the engine's log does not say why"
        raise ExperimentError(f"the copy's engine does not start: {words}")


def _said(path: Path) -> str:
    return "\n".join(logs.tail(path.with_name("up.log"), _WORDS)) or "it said nothing"


def _copy(status: FleetStatus, state: StateDir, file: FleetFile, seconds: float) -> Copy:
    ready = tuple(one for one in status.deployments[0].replicas if one.state == State.READY)
    with Path(ready[0].log).open(encoding="utf-8", errors="replace") as log:
        said = memory_said(log)
    model = status.deployments[0].models[0]
    pages = tuple(metrics_pages(status, file.fleet, (State.READY,)))
    own = tuple(page for page in pages if page.source != GATEWAY)
    return Copy(
        endpoint=Target(address=status.address, model=model, scrape=pages),
        direct=Target(address=f"http://{HOST}:{ready[0].port}/v1", model=model, scrape=own),
        state=state,
        file=file,
        replicas=ready,
        kv_tokens=said.tokens,
        concurrency=said.concurrency,
        started=seconds,
    )


def _memory(pid: int) -> int:
    """Return the bytes of a process and all below it."""
    try:
        process = psutil.Process(pid)
        tree = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    return sum(_pss(one) for one in tree)


def _pss(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except psutil.AccessDenied:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0
