"""One streamed chat over a connection of its own: when the first token came, and what it cost."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httptools


@dataclass(frozen=True)
class Target:
    """Where an OpenAI-compatible API is: `host:port`, and the path before `/chat/completions`."""

    host: str
    port: int
    base: str = "/v1"
    key: str = ""

    @classmethod
    def of(cls, url: str, key: str = "") -> Target:
        """Read an address such as http://127.0.0.1:8080/v1; ValueError if it is none."""
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise ValueError(f"{url}: expected an address such as http://127.0.0.1:8080/v1")
        return cls(parts.hostname, parts.port or 80, parts.path.rstrip("/"), key)

    def request(self, body: bytes) -> bytes:
        """Return the bytes of a request; the connection is for this one only."""
        lines = [
            f"POST {self.base}/chat/completions HTTP/1.1",
            f"host: {self.host}:{self.port}",
            "content-type: application/json",
            f"content-length: {len(body)}",
            "connection: close",
            *([f"authorization: Bearer {self.key}"] if self.key else []),
        ]
        return "\r\n".join((*lines, "", "")).encode() + body


@dataclass
class Answer:
    """What came; `ttft` in seconds, None where nothing did. `wrong` says what was."""

    ttft: float | None = None
    text: str = ""
    prompt: int = 0
    cached: int = 0
    replica: str = ""
    deployment: str = ""
    wrong: str = ""


@dataclass
class _Reader:
    """Collects an answer from HTTP's pieces (httptools calls the `on_` methods)."""

    began: float
    answer: Answer = field(default_factory=Answer)
    done: bool = False
    _rest: bytes = b""

    def on_status(self, status: bytes) -> None:
        if status != b"OK":
            self.answer.wrong = status.decode("latin-1")

    def on_header(self, name: bytes, value: bytes) -> None:
        match name.lower():
            case b"x-headrace-replica":
                self.answer.replica = value.decode("latin-1")
            case b"x-headrace-deployment":
                self.answer.deployment = value.decode("latin-1")

    def on_body(self, data: bytes) -> None:
        *events, self._rest = (self._rest + data).split(b"\n\n")
        for event in events:
            payload = event.removeprefix(b"data: ")
            if payload == b"[DONE]":
                self.done = True
            elif not self.answer.wrong:
                self._event(json.loads(payload))

    def _event(self, event: dict[str, Any]) -> None:
        if "error" in event:
            self.answer.wrong = str(event["error"])
            return
        if usage := event.get("usage"):
            self.answer.prompt = usage["prompt_tokens"]
            self.answer.cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0)
        for choice in event.get("choices", ()):
            text = choice["delta"].get("content") or ""
            if text and self.answer.ttft is None:
                self.answer.ttft = time.perf_counter() - self.began
            self.answer.text += text


async def ask(target: Target, body: dict[str, Any], patience: float) -> Answer:
    """Ask and return what came within `patience` seconds."""
    answering = _Reader(time.perf_counter())
    try:
        async with asyncio.timeout(patience):
            await _exchange(target, body, answering)
    except (OSError, TimeoutError, httptools.HttpParserError) as error:
        answering.answer.wrong = str(error) or type(error).__name__
    if not answering.done and not answering.answer.wrong:
        answering.answer.wrong = "ended early"
    return answering.answer


async def _exchange(target: Target, body: dict[str, Any], into: _Reader) -> None:
    reader, writer = await asyncio.open_connection(target.host, target.port)
    try:
        writer.write(target.request(json.dumps(body).encode()))
        parser = httptools.HttpResponseParser(into)
        while data := await reader.read(65536):
            parser.feed_data(data)
    finally:
        writer.close()
