"""Which metrics pages a fleet has, asked again and again."""

from pathlib import Path

from fleet_kit import Up, until, write_fleet

from headrace.bench.target import Page
from headrace.local import client
from headrace.local.metrics_pages import following
from headrace.local.state import state_dir


async def test_replicas_have_pages_from_when_they_answer_until_they_are_stopped(up: Up) -> None:
    running = await up()
    await until(lambda: bool(running.display.served))
    own = Page(url="http://elsewhere/metrics", source="engine:own")
    file = write_fleet(running.folder)
    listing = following(running.state, file.fleet, [own])
    first = await listing()
    assert first is not None
    assert [one.source for one in first] == ["gateway", "engine:chat-1", "engine:own"]
    await client.scale(running.state, "chat", 2)
    await until(lambda: running.states() == ["ready", "ready"])
    second = await listing()
    assert second is not None
    assert [one.source for one in second][1:3] == ["engine:chat-1", "engine:chat-2"]
    await client.scale(running.state, "chat", 1)
    await until(lambda: running.states() == ["ready"])
    assert await listing() == first


async def test_a_fleet_that_is_gone_says_nothing(tmp_path: Path) -> None:
    file = write_fleet(tmp_path)
    state = state_dir("test", file.path, tmp_path / "s")
    assert await following(state, file.fleet, [])() is None
