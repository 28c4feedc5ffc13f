"""What all faces share: paths, the OpenAI API, `/emulate`, and waiting for the end.

A face is one engine's surface over the same core (`engine.py`): its paths and shapes, its names for
what is counted, its truth about its health, and its manners at SIGTERM.
"""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec

from headrace.emulation.behaviour import change
from headrace.emulation.dialect import Dialect, RefusedError
from headrace.emulation.engine import TwinEngine
from headrace.emulation.exposition import Row, exposition
from headrace.emulation.http import Exchange, Handler, Server
from headrace.emulation.openai import Failure, Voice, answer
from headrace.emulation.request import Ask, read_ask, read_json

METRICS = "text/plain; version=1.0.0; charset=utf-8"
Paths = Mapping[tuple[str, str], Handler]
"""Handlers by method and path."""


class Face(ABC):
    """One engine's surface; `dialect` and `voice` are its OpenAI API."""

    PORT: ClassVar[int]
    """Where the engine listens when it is not told."""
    VERSION: ClassVar[str]
    """The version imitated when none is named."""
    dialect: Dialect
    voice: Voice

    def __init__(self, engine: TwinEngine) -> None:
        self.engine = engine
        self.behaviour = engine.behaviour
        self.starting = False
        """The weights are loading, though the port is open."""
        self._shown: dict[str, bytes] = {}
        """Pages as they were last made, by their first metric."""

    @property
    def listens_early(self) -> bool:
        """Whether the port opens before the weights are loaded."""
        return False

    def phases(self, host: str, port: int) -> list[str]:
        """Return what the log says of the start, the last line when it is done."""
        return ["Loading weights", f"Serving on http://{host}:{port}"]

    @abstractmethod
    def paths(self) -> Paths:
        """Return what is served on the engine's main port."""

    @abstractmethod
    async def stop(self, server: Server) -> None:
        """Do what the engine does at SIGTERM; return when the process may end."""

    async def listen(self, server: Server, host: str, port: int) -> int:
        """Open the main port, and others if the engine has them; return the main one."""
        return await server.listen(self.handler(self.paths()), host, port)

    def handler(self, paths: Paths) -> Handler:
        """Return what serves these paths, and `/emulate` beside them."""
        emulate = {("GET", "/emulate"): self._emulate, ("POST", "/emulate"): self._emulate}
        served = {**paths, **emulate}
        known = {path for _, path in served}

        def handle(exchange: Exchange) -> None:
            found = served.get((exchange.method, exchange.path))
            try:
                if found is not None:
                    found(exchange)
                else:
                    self.unknown(exchange, known=exchange.path in known)
            except RefusedError as refused:
                exchange.reply(refused.status, refused.body)

        return handle

    def unknown(self, exchange: Exchange, *, known: bool) -> None:
        """Answer what no path of the face answers, as FastAPI does."""
        status, detail = (405, "Method Not Allowed") if known else (404, "Not Found")
        exchange.reply(status, {"detail": detail})

    # -- the OpenAI API

    def chat(self, exchange: Exchange) -> None:
        """Serve a chat."""
        self._openai(exchange, chat=True)

    def completion(self, exchange: Exchange) -> None:
        """Serve a completion."""
        self._openai(exchange, chat=False)

    def _openai(self, exchange: Exchange, *, chat: bool) -> None:
        body = self.read(exchange)
        faults = self.engine.faults
        ask = read_ask(body, self.behaviour, self.dialect, faults, chat=chat)
        overload = self.overload(ask)
        if overload is None:
            answer(exchange, self.engine, ask, self.voice)
        elif ask.stream:
            exchange.begin()
            exchange.send(b"%b%b\n\n" % (self.voice.prefix, msgspec.json.encode(overload.event)))
            exchange.send(self.voice.done)
            exchange.end()
        else:
            exchange.reply(overload.status, overload.body)

    def read(self, exchange: Exchange) -> dict[str, Any]:
        """Return the body's object; RefusedError if it is none, or where a fault refuses all."""
        if self.engine.faults.fail:
            raise self.dialect.refusal(500, "InternalServerError", "", None)
        if self.dialect.json_only and not exchange.is_json:
            only = "Unsupported Media Type: Only 'application/json' is allowed"
            raise self.dialect.refusal(400, "Bad Request", f"1 validation error:\n  {only}", None)
        return read_json(exchange.body, self.dialect)

    def overload(self, ask: Ask | None = None) -> Failure | None:
        """Return why the request is not taken now, if it is not; None: one answer, not OpenAI's."""
        del ask
        return None

    # -- metrics and faults

    def page(self, rows: tuple[Row, ...], **labels: str) -> bytes:
        """Return the metrics page."""
        books = self.engine.books
        books.kv_used = self.engine.kv_used()
        books.kv_tokens = self.behaviour.kv_tokens
        books.kv_usage = min(1.0, books.kv_used / books.kv_tokens)
        faults, first = self.engine.faults, rows[0].name
        if not faults.stuck_metrics or first not in self._shown:
            self._shown[first] = b"" if faults.no_metrics else exposition(rows, books, labels)
        return self._shown[first]

    @property
    def well(self) -> bool:
        """Whether the worker lives and no fault says otherwise."""
        return not (self.engine.dead or self.engine.faults.sick)

    def _emulate(self, exchange: Exchange) -> None:
        """Show the faults, or change those that the body names."""
        if exchange.method == "POST":
            try:
                self.engine.change(change(self.engine.faults, exchange.body))
            except (msgspec.MsgspecError, UnicodeDecodeError) as wrong:
                exchange.reply(400, {"error": {"message": str(wrong), "code": 400}})
                return
        exchange.reply(200, msgspec.to_builtins(self.engine.faults))


async def quiet(server: Server, within: float | None) -> bool:
    """Wait until every request is answered, at most `within` seconds; return whether it was."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(server.quiet.wait(), within)
    return server.quiet.is_set()


def openai_models(names: tuple[str, ...], owner: str, **fields: Any) -> dict[str, Any]:
    """Return a plain /v1/models."""
    data = [{"id": name, "object": "model", "owned_by": owner, **fields} for name in names]
    return {"object": "list", "data": data}
