"""Streams that break: what an engine sends, how it breaks, and what a client reads of it."""

from __future__ import annotations

import json
from typing import Any

from harness import (
    DONE,
    STREAM,
    Asked,
    Engine,
    Rig,
    Wire,
    token,
)

STOP = ',"stop_reason":null'
ERROR = b'data: {"error":{"message":"EngineCore encountered an issue","code":500}}\n\n'
COMPLETION = {"model": "m", "stream": True, "prompt": "Once", "max_tokens": 10}


def text_event(text: str, finish: str | None = None, ids: list[int] | None = None) -> bytes:
    return (
        'data: {"id":"cmpl-1","object":"text_completion","created":1700000000,"model":"m",'
        f'"choices":[{{"index":0,"text":{json.dumps(text)},"logprobs":null,"finish_reason":'
        f'{json.dumps(finish)},"stop_reason":null,"prompt_token_ids":null,"token_ids":{json.dumps(ids)}}}]}}\n\n'
    ).encode()


def other(event: bytes) -> bytes:
    """The event as another replica would say it."""
    return event.replace(b"-1", b"-2").replace(b"1700000000", b"1800000000")


def role() -> bytes:
    return token("").replace(b'{"content":""}', b'{"role":"assistant","content":""}')


async def begin(it: Rig, first: Engine, events: list[bytes], body: Any = STREAM, path: str = "/v1/chat/completions") -> tuple[Wire, Asked]:  # fmt: skip
    wire = await it.post(body, path)
    asked = await first.next()
    asked.start_stream()
    for event in events:
        asked.send_chunk(event)
    await wire.head()
    await expect(wire, b"".join(events))
    return wire, asked


def goes_on(again: Asked, *events: bytes) -> None:
    """Have another replica answer with these events, under its own name, to the end."""
    again.start_stream()
    for event in events:
        again.send_chunk(other(event))
    again.end_stream()


async def expect(wire: Wire, wanted: bytes) -> None:
    """Read just these bytes, in however many chunks."""
    got = b""
    while len(got) < len(wanted):
        got += await wire.chunk()
    assert got == wanted


async def rest(wire: Wire) -> list[bytes]:
    """The events to the end, without comments."""
    events = (await wire.chunks()).split(b"\n\n")
    return [event + b"\n\n" for event in events if event and not event.startswith(b":")]


def break_by(asked: Asked, how: str) -> None:
    match how:
        case "closed":
            asked.writer.close()
        case "reset":
            asked.writer.transport.abort()
        case "error":
            asked.send_chunk(ERROR + DONE)
        case "abort":
            asked.send_chunk(token("", "abort") + DONE)
        case "done":
            asked.send_chunk(DONE)
        case "end":
            asked.send(b"0\r\n\r\n")
        case "garbage":
            asked.send_chunk(b"\xff\x00 not an event\n\n")
        case "half an event":
            asked.send_chunk(token("lost")[:40])
            asked.writer.close()
