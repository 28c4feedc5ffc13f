"""A watch that its listener never sees end, against the ways in which a real one does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Self

import pytest
from twin_kit import SPACE, cluster_of, config_map, twin_and_cluster

from headrace.kubernetes.cluster import Cluster
from headrace.kubernetes.errors import CredentialsError, ForbiddenError
from headrace.kubernetes.resource import Resource
from headrace.kubernetes.twin.requests import Asked
from headrace.kubernetes.twin.server import Twin
from headrace.kubernetes.twin.statuses import Refused, status
from headrace.kubernetes.watch import Change, Scope, Watch

MAPS = Resource("", "v1", "ConfigMap", "configmaps")
Told = tuple[str, str]


class Listener:
    """Reads a watch change by change."""

    def __init__(self, cluster: Cluster, labels: str = "", seconds: int = 240) -> None:
        scope = Scope(MAPS, SPACE, labels, seconds=seconds)
        self._changes: AsyncGenerator[Change, None] = aiter(Watch(cluster, scope, pauses=(0.0,)))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._changes.aclose()

    async def next(self) -> Told:
        async with asyncio.timeout(30):
            change = await anext(self._changes)
        return change.kind, change.object.get("metadata", {}).get("name", "")

    async def some(self, count: int) -> list[Told]:
        return [await self.next() for _ in range(count)]


async def opened(twin: Twin, count: int = 1) -> None:
    """Wait until so many watches are open; the twin signals each request by a write or a wake."""
    async with asyncio.timeout(30):
        while twin.watches < count:  # noqa: ASYNC110 - sockets signal nothing to a test
            await asyncio.sleep(0)


async def test_what_is_there_comes_first_then_every_change() -> None:
    async with twin_and_cluster() as (twin, cluster):
        twin.put(MAPS, config_map("a"))
        async with Listener(cluster) as heard:
            assert await heard.some(2) == [("added", "a"), ("listed", "")]
            twin.put(MAPS, config_map("a", x="1"))
            twin.put(MAPS, config_map("b"))
            twin.store.remove(MAPS, SPACE, "a")
            assert await heard.some(3) == [("changed", "a"), ("added", "b"), ("deleted", "a")]


async def test_a_broken_connection_loses_and_repeats_nothing() -> None:
    async with twin_and_cluster() as (twin, cluster), Listener(cluster) as heard:
        assert await heard.next() == ("listed", "")
        twin.put(MAPS, config_map("a"))
        assert await heard.next() == ("added", "a")
        twin.drop_watches()
        twin.put(MAPS, config_map("b"))
        assert await heard.next() == ("added", "b")
        lists = [one for one in twin.asked if one.method == "GET" and "watch" not in one.query]
        assert len([one for one in lists if one.path.endswith("configmaps")]) == 1


async def test_a_forgotten_version_is_listed_anew_and_what_vanished_is_told() -> None:
    async with twin_and_cluster() as (twin, cluster):
        twin.put(MAPS, config_map("a"))
        twin.put(MAPS, config_map("b"))
        async with Listener(cluster) as heard:
            await heard.some(3)
            twin.drop_watches()
            twin.store.remove(MAPS, SPACE, "a")
            twin.put(MAPS, config_map("b", x="1"))
            twin.put(MAPS, config_map("c"))
            twin.store.compact()  # the versions that the watch knew are gone: 410
            told = await heard.some(4)
    assert told == [("deleted", "a"), ("changed", "b"), ("added", "c"), ("listed", "")]


async def test_a_bookmark_spares_a_quiet_watch_from_listing_anew() -> None:
    async with twin_and_cluster() as (twin, cluster), Listener(cluster, seconds=1) as heard:
        assert await heard.next() == ("listed", "")
        waiting = asyncio.ensure_future(heard.next())
        await opened(twin)
        twin.put(Resource("", "v1", "Secret", "secrets"), config_map("s") | {"kind": "Secret"})
        version = twin.store.version

        def resumed() -> bool:
            return any(one.query.get("resourceVersion") == str(version) for one in twin.asked)

        async with asyncio.timeout(30):
            while not resumed():  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.01)
        twin.put(MAPS, config_map("a"))
        assert await waiting == ("added", "a")


async def test_an_object_that_leaves_the_selector_is_deleted_to_the_listener() -> None:
    async with twin_and_cluster() as (twin, cluster):
        twin.put(MAPS, config_map("a", {"app": "x"}))
        async with Listener(cluster, labels="app=x") as heard:
            await heard.some(2)
            twin.put(MAPS, config_map("a", {"app": "y"}))
            assert await heard.next() == ("deleted", "a")


@pytest.mark.parametrize("code", [429, 500, 503])
async def test_an_api_server_in_trouble_is_asked_again(code: int) -> None:
    async with Twin() as twin, cluster_of(twin, pauses=()) as cluster:
        refusals = 3

        async def refuse(_: Asked) -> None:
            nonlocal refusals
            refusals -= 1
            if refusals >= 0:
                raise Refused(status(code, "X", "in trouble"), after=0)

        twin.before = refuse
        async with Listener(cluster) as heard:
            assert await heard.next() == ("listed", "")
        assert refusals < 0


async def test_what_patience_does_not_mend_ends_the_watch() -> None:
    async with twin_and_cluster() as (twin, cluster):
        twin.requests.forbidden.add(("watch", "configmaps"))
        async with Listener(cluster) as heard:
            assert await heard.next() == ("listed", "")
            with pytest.raises(ForbiddenError, match='cannot watch resource "configmaps"'):
                await heard.next()
        twin.requests.token = "other"  # noqa: S105
        async with Listener(cluster) as heard:
            with pytest.raises(CredentialsError):
                await heard.next()
