"""What an engine twin costs: CPU microseconds for each streamed token, sending included.

`python -m bench.twin --engine vllm --streams 200 --tokens 200` starts a twin, streams from it, and
prints one line. A drill runs tens of thousands of streams beside the fleet on a few cores, so this
must stay small (at most 60 microseconds).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence

import uvloop

from bench.processes import free_port, until_it_listens
from bench.usage import cpu_seconds

_PACE = ("--ttft", "0.1", "--slots", "100000", "--max-model-len", "100000")


def _parser() -> argparse.ArgumentParser:
    line = argparse.ArgumentParser(prog="python -m bench.twin")
    line.add_argument("--engine", default="vllm")
    line.add_argument("--streams", type=int, default=200)
    line.add_argument("--tokens", type=int, default=200)
    line.add_argument("--tpot", type=float, default=0.02)
    line.add_argument("--ids", action="store_true", help="ask for token ids, too")
    return line


def _request(given: argparse.Namespace, number: int) -> bytes:
    body = {
        "model": "twin",
        "prompt": f"Stream {number}: tell me about rivers",
        "max_tokens": given.tokens,
        "ignore_eos": True,
        "stream": True,
    }
    if given.ids:
        body["return_token_ids"] = True
    data = json.dumps(body).encode()
    head = "POST /v1/completions HTTP/1.1\r\nhost: twin\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(data)}\r\nconnection: close\r\n\r\n".encode() + data


async def _stream(port: int, request: bytes) -> int:
    """Return the number of events."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    events = 0
    while data := await reader.read(65536):
        events += data.count(b"data:")
    writer.close()
    return events


async def _measure(given: argparse.Namespace) -> None:
    port = free_port()
    flags = ("--engine", given.engine, "--port", str(port), "--tpot", str(given.tpot), *_PACE)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "headrace.emulation", *flags, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        await until_it_listens(port)
        before = cpu_seconds(process.pid)
        requests = (_request(given, number) for number in range(given.streams))
        counts = await asyncio.gather(*(_stream(port, request) for request in requests))
        used = cpu_seconds(process.pid) - before
    finally:
        process.kill()
        await process.wait()
    events = sum(counts) - given.streams  # [DONE] is no token
    print(f"{given.engine}: {used / events * 1e6:.1f} microseconds of CPU for each of {events}")


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    uvloop.run(_measure(_parser().parse_args(argv)))


if __name__ == "__main__":
    main()
