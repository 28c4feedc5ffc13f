"""Many engine twins in one process, each on its own port: sixteen processes would need the cores.

`python -m bench.fleet.twins` reads groups (one JSON line) and prints the ports of each; it ends
when its standard input does.
"""

from __future__ import annotations

import asyncio
import sys

import msgspec
import uvloop

from headrace.emulation.behaviour import Behaviour
from headrace.emulation.engine import TwinEngine
from headrace.emulation.faces.vllm import VllmFace
from headrace.emulation.http import Server


class Group(msgspec.Struct, frozen=True):
    """So many twins of one behaviour, under the name of a deployment."""

    name: str
    count: int
    behaviour: Behaviour


class Listening(msgspec.Struct, frozen=True):
    """The ports of each group, by name."""

    ports: dict[str, list[int]]


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    line = await loop.run_in_executor(None, sys.stdin.buffer.readline)
    ports: dict[str, list[int]] = {}
    faces = []  # held here: nothing else keeps a twin
    for group in msgspec.json.decode(line, type=list[Group]):
        ports[group.name] = []
        for _ in range(group.count):
            face = VllmFace(TwinEngine(group.behaviour))
            faces.append(face)
            ports[group.name].append(await face.listen(Server(), "127.0.0.1", 0))
    sys.stdout.buffer.write(msgspec.json.encode(Listening(ports)) + b"\n")
    sys.stdout.buffer.flush()
    await loop.run_in_executor(None, sys.stdin.buffer.read)


if __name__ == "__main__":
    uvloop.run(_serve())
