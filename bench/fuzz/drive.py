"""Sends inputs to a gateway, many at once, each on a connection of its own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from bench.fuzz.inputs import Input
from bench.fuzz.replies import BadReplyError, Reply, problems, split

AT_ONCE = 24
QUIET = 0.04  # seconds without a byte after which nothing more is expected
LONGEST = 20.0  # seconds for the reply to a whole request
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends a reset and leaves no TIME_WAIT
_MOST = 1 << 20  # bytes read from one connection


@dataclass
class Tally:
    """What came back."""

    inputs: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    silent: int = 0
    violations: list[str] = field(default_factory=list)

    def judge(self, one: Input, replies: Iterable[Reply], key: str) -> None:
        """Count the replies to an input and note what is wrong with them."""
        for reply in replies:
            self.statuses[reply.status] += 1
            if reply.code:
                self.codes[reply.code] += 1
            for problem in problems(reply):
                self.blame(one, problem)
            if key.encode() in reply.body and reply.status >= 400:
                self.blame(one, "an error repeats the key")

    def blame(self, one: Input, problem: str) -> None:
        """Note a violation, with what was sent."""
        self.violations.append(f"{problem} <- {one.kind} ({one.manner}): {one.data[:600]!r}")


class Driver:
    """Sends inputs to `port`; `key` must not come back in an error."""

    def __init__(self, port: int, key: str) -> None:
        self.tally = Tally()
        self._port = port
        self._key = key

    async def send_all(self, inputs: Iterator[Input]) -> None:
        """Send everything."""
        async with asyncio.TaskGroup() as tasks:
            for number in range(AT_ONCE):
                tasks.create_task(self._worker(inputs, number))

    async def _worker(self, inputs: Iterator[Input], number: int) -> None:
        # A source address of its own: one has not enough ports for a long run.
        for one in inputs:
            self.tally.inputs[one.kind] += 1
            await self._send(one, f"127.0.0.{2 + number}")

    async def _send(self, one: Input, source: str) -> None:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self._port, local_addr=(source, 0), limit=_MOST
        )
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        try:
            with contextlib.suppress(ConnectionError):
                await self._play(one, reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _play(
        self, one: Input, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await _write(one, writer)
        if one.manner == "abort":
            return
        if one.manner == "deaf":
            await asyncio.sleep(QUIET)
            return
        await self._read(one, reader)

    async def _read(self, one: Input, reader: asyncio.StreamReader) -> None:
        data, count = b"", 0
        wait = LONGEST if one.complete else QUIET
        while len(data) < _MOST:
            try:
                part = await asyncio.wait_for(reader.read(65536), wait)
            except TimeoutError:
                break
            except ConnectionError:
                return  # reset while it was still sending: what came before may be lost
            data += part
            try:
                replies, data = split(data)
            except (BadReplyError, ValueError) as error:
                self.tally.blame(one, f"no HTTP came back: {error}")
                return
            self.tally.judge(one, replies, self._key)
            count += len(replies)
            if not part or (one.complete and count):
                break
            wait = QUIET if count else wait
        self.tally.silent += not count
        if one.complete and not count:
            self.tally.blame(one, "no reply")


async def _write(one: Input, writer: asyncio.StreamWriter) -> None:
    if one.manner in ("pieces", "slow"):
        for part in _pieces(one.data, 7 if one.manner == "slow" else 3):
            _say(part, writer)
            await asyncio.sleep(0.005 if one.manner == "slow" else 0)
    elif one.manner == "deaf":
        for _ in range(40):
            _say(one.data, writer)
            await asyncio.sleep(0)
    else:
        _say(one.data, writer)


def _say(data: bytes, writer: asyncio.StreamWriter) -> None:
    if not writer.is_closing():  # the gateway may have had enough
        writer.write(data)


def _pieces(data: bytes, count: int) -> Iterator[bytes]:
    size = max(1, len(data) // count)
    yield from (data[at : at + size] for at in range(0, len(data), size))
