"""Start the processes of a benchmark on the cores that are theirs, and leave none behind."""

from __future__ import annotations

import asyncio
import http.client
import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from bench.messages import API_KEY

ROOT = Path(__file__).parents[1]  # of the repository: where `bench` is found
_STOP_PATIENCE = 2.0  # seconds between asking a process to stop and killing it


class MeasureError(Exception):
    """A process of the benchmark did not do its part; the message has its last words."""


@dataclass(frozen=True)
class Cores:
    """Who runs where: the proxy alone on its cores, client and back end on the others."""

    proxy: frozenset[int]
    client: frozenset[int]
    backend: frozenset[int]

    def __str__(self) -> str:
        """Say it in words."""
        if self.proxy == self.client:
            return (
                f"one core for everything ({_join(self.proxy)}): timing figures are of little use"
            )
        if self.client == self.backend:
            others = f"client and back end on core {_join(self.client)}"
        else:
            others = f"client on {_join(self.client)}, back end on {_join(self.backend)}"
        return f"proxy alone on core {_join(self.proxy)}, {others}"


def _join(cores: frozenset[int]) -> str:
    return ", ".join(map(str, sorted(cores)))


def divide(cores: set[int]) -> Cores:
    """Give the last core to the proxy, and one each to client and back end if there are any."""
    ordered = sorted(cores, reverse=True)
    proxy, client, backend = (ordered[min(n, len(ordered) - 1)] for n in range(3))
    return Cores(frozenset({proxy}), frozenset({client}), frozenset({backend}))


@dataclass
class Child:
    """A running process, and where its standard error goes."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def tell(self, line: bytes) -> None:
        """Write a line to its standard input."""
        stream = _stream(self.process.stdin)
        stream.write(line)
        stream.flush()

    def hear(self, timeout: float, meanwhile: Callable[[], None] = lambda: None) -> bytes:
        """Return its next line of output, calling `meanwhile` about 10 times a second."""
        stream = _stream(self.process.stdout)
        deadline = time.monotonic() + timeout
        while not select.select([stream], [], [], 0.1)[0]:
            meanwhile()
            if time.monotonic() > deadline:
                raise MeasureError(
                    f"{self.name} said nothing for {timeout:.0f} s. {self.last_words()}"
                )
        line = stream.readline()
        if not line:
            raise MeasureError(f"{self.name} ended early. {self.last_words()}")
        return line

    def finish(self) -> None:
        """Close its standard input: it may say its last words and leave."""
        _stream(self.process.stdin).close()

    def last_words(self) -> str:
        """Return the end of its standard error."""
        text = self.log.read_text(errors="replace").strip()
        return f"Its last words ({self.log}):\n{text[-1500:]}" if text else "It left no message."

    def stop(self) -> None:
        """Ask the process and its children to stop; kill them if they do not."""
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()
        for number, patience in ((signal.SIGTERM, _STOP_PATIENCE), (signal.SIGKILL, None)):
            try:
                os.killpg(self.process.pid, number)
                self.process.wait(patience)
            except ProcessLookupError:
                break
            except subprocess.TimeoutExpired:
                continue
        self.process.wait()


def _stream(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise TypeError("this process was started without pipes")
    return stream


@contextmanager
def running(
    name: str, command: Sequence[str], cores: frozenset[int], log: Path, *, talks: bool = False
) -> Iterator[Child]:
    """Run a command in a session of its own (Ctrl-C reaches only us) while the block lasts.

    Its cores are set on ourselves around the start and so inherited: no thread of it ever runs
    elsewhere. The output of what does not talk to us goes to its log.
    """
    ours = os.sched_getaffinity(0)
    with log.open("wb") as errors:
        os.sched_setaffinity(0, cores)
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE if talks else errors,
                stderr=errors,
                bufsize=0,
                start_new_session=True,
                cwd=ROOT,
            )
        finally:
            os.sched_setaffinity(0, ours)
    child = Child(name, process, log)
    try:
        yield child
    finally:
        child.stop()


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def until_it_listens(port: int) -> None:
    """Return when a process of this machine takes connections there; TimeoutError after 30 s."""
    async with asyncio.timeout(30):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return


_HEADERS = {"authorization": f"Bearer {API_KEY}", "content-type": "application/json"}
_QUESTION = b'{"model":"bench","max_tokens":2,"messages":[{"role":"user","content":"?"}]}'


def wait_until_serving(child: Child, port: int, timeout: float = 60.0) -> None:
    """Return as soon as a request through the port is answered with 200."""
    deadline = time.monotonic() + timeout
    while not _answers(port):
        if child.process.poll() is not None:
            raise MeasureError(f"{child.name} ended while starting. {child.last_words()}")
        if time.monotonic() > deadline:
            raise MeasureError(
                f"{child.name} did not serve within {timeout:.0f} s. {child.last_words()}"
            )
        time.sleep(0.05)


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("POST", "/v1/chat/completions", _QUESTION, _HEADERS)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
