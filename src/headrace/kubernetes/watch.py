"""What is there and every change to it, for as long as anybody listens.

A watch on a real cluster ends all the time: the server closes it after a while, is replaced, or has
forgotten the version to go on from (410). A listener sees none of that: this goes on where it was,
or lists anew and tells what vanished meanwhile as deleted.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Literal

from headrace.kubernetes.cluster import PAUSES, Cluster
from headrace.kubernetes.errors import ExpiredError, UnavailableError, UnreachableError, refusal
from headrace.kubernetes.resource import Object, Resource

_MARGIN = 15.0
"""Seconds that the server may be late with closing; then the connection counts as dead."""
Kind = Literal["added", "changed", "deleted", "listed"]


@dataclass(frozen=True)
class Change:
    """A change; `listed` has no object: what is there now has been told completely."""

    kind: Kind
    object: Object


@dataclass(frozen=True)
class Scope:
    """What is watched; `seconds` is how long one connection lives at most."""

    resource: Resource
    namespace: str
    labels: str = ""
    fields: str = ""
    seconds: int = 240

    @property
    def doing(self) -> str:
        """What is tried, for errors."""
        return f"watch {self.resource.plural}"


class Watch:
    """One watch; iterate over it. `known` is what is there, by uid."""

    def __init__(self, cluster: Cluster, scope: Scope, pauses: Sequence[float] = PAUSES) -> None:
        self.known: dict[str, Object] = {}
        self._cluster, self._scope, self._pauses = cluster, scope, pauses
        self._version = ""

    async def __aiter__(self) -> AsyncGenerator[Change, None]:
        """Yield changes until the listener has enough.

        ForbiddenError and CredentialsError end it: no patience mends these.
        """
        fruitless = 0
        while True:
            try:
                if not self._version:
                    for change in await self._listed():
                        yield change
                async with contextlib.aclosing(self._follow()) as changes:
                    async for change in changes:
                        fruitless = 0
                        yield change
            except ExpiredError:
                self._version = ""
            except (UnreachableError, UnavailableError):
                pass  # go on where it was, below
            await asyncio.sleep(self._pauses[min(fruitless, len(self._pauses) - 1)])
            fruitless += 1

    async def _listed(self) -> list[Change]:
        """Read all, and return how that differs from what was known."""
        scope = self._scope
        found = await self._cluster.find(
            scope.resource, scope.namespace, labels=scope.labels, fields=scope.fields
        )
        now = {one["metadata"]["uid"]: one for one in found.items}
        changes = list(_differences(self.known, now))
        self.known, self._version = now, found.version
        return [*changes, Change("listed", {})]

    async def _follow(self) -> AsyncGenerator[Change, None]:
        scope = self._scope
        params = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(scope.seconds),
            "resourceVersion": self._version,
            **({"labelSelector": scope.labels} if scope.labels else {}),
            **({"fieldSelector": scope.fields} if scope.fields else {}),
        }
        path = scope.resource.path(scope.namespace)
        silence = scope.seconds + _MARGIN
        async with self._cluster.stream(path, scope.doing, params, silence) as lines:
            async for line in lines:
                if change := self._change(json.loads(line)):
                    yield change

    def _change(self, event: dict[str, Any]) -> Change | None:
        one: dict[str, Any] = event["object"]
        if event["type"] == "ERROR":
            code = one.get("code") or HTTPStatus.INTERNAL_SERVER_ERROR
            raise refusal(code, one, self._scope.doing, self._cluster.context)
        self._version = one["metadata"]["resourceVersion"]
        if event["type"] == "BOOKMARK":
            return None
        uid = one["metadata"]["uid"]
        if event["type"] == "DELETED":
            self.known.pop(uid, None)
            return Change("deleted", one)
        new = uid not in self.known
        self.known[uid] = one
        return Change("added" if new else "changed", one)


def _differences(before: dict[str, Object], now: dict[str, Object]) -> Iterator[Change]:
    yield from (Change("deleted", one) for uid, one in before.items() if uid not in now)
    for uid, one in now.items():
        if uid not in before:
            yield Change("added", one)
        elif _version(before[uid]) != _version(one):
            yield Change("changed", one)


def _version(one: Object) -> str:
    return str(one["metadata"]["resourceVersion"])
