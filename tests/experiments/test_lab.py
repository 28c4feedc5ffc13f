"""The lab on endpoints of others: ones that refuse a field, and ones that answer nothing."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from headrace.bench.asks import Ask
from headrace.experiments.begin import Voice, lab_for_address
from headrace.experiments.errors import ExperimentError
from headrace.experiments.lab import Lab

ASKS = [Ask(number=n, prompt="x", max_tokens=2) for n in range(2)]


@contextlib.asynccontextmanager
async def picky(seen: list[dict[str, Any]], refused: str) -> AsyncIterator[str]:
    """A server that answers two tokens, and 400 to requests with a field."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = next(
                    int(line.split(b":")[1])
                    for line in head.split(b"\r\n")
                    if line.lower().startswith(b"content-length")
                )
                body = json.loads(await reader.readexactly(length))
                seen.append(body)
                writer.write(_answer(bad=refused in body))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"


def _answer(*, bad: bool) -> bytes:
    if bad:
        body = b'{"error": {"message": "unknown field"}}'
        head = "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json"
    else:
        chunks = [
            {"choices": [{"index": 0, "text": text, "finish_reason": end}]}
            for text, end in (("a", None), ("b", "length"))
        ]
        body = (
            b"".join(b"data: " + json.dumps(one).encode() + b"\n\n" for one in chunks)
            + b"data: [DONE]\n\n"
        )
        head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream"
    return f"{head}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


def lab(address: str, folder: Path, said: list[str]) -> Lab:
    return lab_for_address(address, "theirs", folder, Voice(said.append, lambda _: None))


async def test_a_field_that_is_refused_is_left_out_from_then_on(tmp_path: Path) -> None:
    seen: list[dict[str, Any]] = []
    said: list[str] = []
    async with picky(seen, "ignore_eos") as address:
        own = lab(address, tmp_path, said)
        assert own.standing is not None
        await own.warm(own.standing, ASKS)
        assert said == ["answers end where the model ends them: ignore_eos is refused here"]
        assert [bool(one.get("ignore_eos")) for one in seen] == [True, True, False, False]
        await own.warm(own.standing, ASKS)
        assert not any(one.get("ignore_eos") for one in seen[4:])


async def test_an_endpoint_that_answers_nothing_is_an_error(tmp_path: Path) -> None:
    async with picky([], "model") as address:
        own = lab(address, tmp_path, [])
        assert own.standing is not None
        with pytest.raises(
            ExperimentError, match=r"answers none of 2 requests for 'theirs': refused 400"
        ):
            await own.warm(own.standing, ASKS)
