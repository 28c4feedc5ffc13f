"""The twin's sockets: HTTP/1.1 with whole answers, and watches as chunked streams of events.

`Twin` is what others hold: an API server on a port of this machine, and hands to do what
controllers, people and outages do to a real one.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Self

from headrace.kubernetes.resource import Object, Resource
from headrace.kubernetes.twin.kinds import ADD_ONS, BUILT_IN
from headrace.kubernetes.twin.removal import Removal
from headrace.kubernetes.twin.requests import Answer, Asked, Requests, Watched
from headrace.kubernetes.twin.statuses import Refused, expired
from headrace.kubernetes.twin.store import Event, Store

Hook = Callable[[Asked], Awaitable[None]]
_REASONS = {200: "OK", 201: "Created"}


class Twin:
    """An API server in memory; `add_ons` are the ones whose CRDs it has."""

    def __init__(self, add_ons: Iterable[str] = ADD_ONS) -> None:
        self.store = Store()
        self.removal = Removal(self.store)
        more = (kind for name in add_ons for kind in ADD_ONS[name])
        self.requests = Requests(self.store, self.removal, [*BUILT_IN, *more])
        self.asked: list[Asked] = []
        """Every request so far."""
        self.before: Hook | None = None
        """Called with each request before it is done; Refused or OSError is what it gets then."""
        self._watches: set[asyncio.StreamWriter] = set()
        self._clients: dict[asyncio.StreamWriter, asyncio.Task[None]] = {}
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        tasks = list(self._clients.values())
        for writer in self._clients:
            writer.transport.abort()
        self.store.wake()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def url(self) -> str:
        """Where it listens."""
        if self._server is None:
            raise RuntimeError("the twin is not up")
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def kubeconfig(self) -> dict[str, Any]:
        """Return a kubeconfig that leads here."""
        user = {"token": self.requests.token}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "twin",
            "clusters": [{"name": "twin", "cluster": {"server": self.url}}],
            "users": [{"name": "twin", "user": user}],
            "contexts": [{"name": "twin", "context": {"cluster": "twin", "user": "twin"}}],
        }

    def put(self, resource: Resource, one: Object, manager: str = "kubectl") -> dict[str, Any]:
        """Write an object as somebody else would."""
        return self.store.change(resource, one, manager)

    def drop_watches(self) -> None:
        """Break every watch, as an API server that goes away does."""
        for writer in [*self._watches]:
            writer.transport.abort()

    @property
    def watches(self) -> int:
        """How many watches are open."""
        return len(self._watches)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._clients[writer] = task
        try:
            while (asked := await _read(reader)) is not None:
                self.asked.append(asked)
                await self._answer(asked, reader, writer)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            writer.transport.abort()
        finally:
            self._clients.pop(writer, None)
            writer.close()

    async def _answer(
        self, asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            if self.before is not None:
                await self.before(asked)
            found = self.requests.handle(asked)
        except Refused as refused:
            body = json.dumps(refused.status).encode()
            after = f"Retry-After: {refused.after}\r\n" if refused.after is not None else ""
            writer.write(_head(Answer(refused.code, body), after) + body)
            return
        if isinstance(found, Answer):
            writer.write(_head(found) + found.body)
            return
        self._watches.add(writer)
        try:
            await self._serve(found, reader, writer)
        finally:
            self._watches.discard(writer)

    async def _serve(
        self, watched: Watched, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Stream events until the watch's time is over or its client leaves."""
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        version = watched.version
        end = asyncio.get_running_loop().time() + watched.seconds
        while asyncio.get_running_loop().time() < end and not _left(reader, writer):
            written = self.store.written
            if version < self.store.oldest:
                told = f"too old resource version: {version} ({self.store.oldest})"
                _chunk(writer, {"type": "ERROR", "object": expired(told)})
                break
            for event in self.store.since(version, watched.resource):
                if (told_event := _seen(event, watched)) is not None:
                    _chunk(writer, told_event)
            version = self.store.version
            await writer.drain()
            try:
                async with asyncio.timeout_at(end):
                    await written.wait()
            except TimeoutError:
                _bookmark(writer, watched, version)
        if not _left(reader, writer):
            writer.write(b"0\r\n\r\n")


def _left(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    return reader.at_eof() or writer.is_closing()


def _bookmark(writer: asyncio.StreamWriter, watched: Watched, version: int) -> None:
    if watched.bookmarks:
        one = {
            "kind": watched.resource.kind,
            "apiVersion": watched.resource.api_version,
            "metadata": {"resourceVersion": str(version), "creationTimestamp": None},
        }
        _chunk(writer, {"type": "BOOKMARK", "object": one})


def _seen(event: Event, watched: Watched) -> dict[str, Any] | None:
    """Return a write as a watch sees it: what leaves its selector is deleted to it."""
    if watched.namespace and event.object["metadata"].get("namespace") != watched.namespace:
        return None
    now, before = (
        watched.matches(event.object),
        bool(event.old) and watched.matches(event.old or {}),
    )
    if event.type == "DELETED" or (before and not now):
        return {"type": "DELETED", "object": event.object} if before else None
    if not now:
        return None
    return {"type": "MODIFIED" if before else "ADDED", "object": event.object}


def _chunk(writer: asyncio.StreamWriter, event: Object) -> None:
    line = json.dumps(event).encode() + b"\n"
    writer.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")


def _head(answer: Answer, more: str = "") -> bytes:
    reason = _REASONS.get(answer.code, "Refused")
    return (
        f"HTTP/1.1 {answer.code} {reason}\r\nContent-Type: {answer.content_type}\r\n"
        f"Content-Length: {len(answer.body)}\r\n{more}\r\n"
    ).encode()


async def _read(reader: asyncio.StreamReader) -> Asked | None:
    """Return the next request, None if the client has no more."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return None
    first, *lines = head.split("\r\n")
    method, target, _ = first.split(" ", 2)
    pairs = (line.partition(":") for line in lines if line)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Asked(method, target, headers, body)
