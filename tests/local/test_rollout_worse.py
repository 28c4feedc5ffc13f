"""New replicas that are worse than the old ones: the fleet returns to what it was, by itself."""

from pathlib import Path

import pytest
from fleet_kit import Up, until
from rollout_kit import MODEL, SECOND, asking, ids, ready, returned, roll

from headrace.gateway import control
from headrace.local import rollout_judge


async def test_an_engine_that_crashes_is_never_trusted(up: Up, tmp_path: Path) -> None:
    running = await up(min=2)
    (tmp_path / "mode-two").write_text("crash")
    await ready(running, 2)
    pids = running.pids()
    async with asking(running) as asked:
        why = await returned(running, running.edited(SECOND), pids)
        assert asked.answers
    assert "a new replica failed: exit status 3: ValueError: no such weights" in why
    assert running.pids() == pids
    assert asked.bad == []


async def test_an_engine_that_answers_wrongly_is_never_trusted(up: Up, tmp_path: Path) -> None:
    running = await up()
    (tmp_path / "mode-two").write_text("wrong")
    await ready(running, 1)
    why = await returned(running, running.edited(SECOND), running.pids())
    assert "a new replica failed: wrong answer" in why
    assert ids(running) == ["chat-1"]


async def test_an_engine_that_never_gets_ready_is_given_up(up: Up, tmp_path: Path) -> None:
    running = await up()
    (tmp_path / "mode-two").write_text("mute")
    await ready(running, 1)
    file = running.edited(SECOND, ("startup: 20s", "startup: 400ms"))
    assert "not ready within 0.4 s (lifecycle.startup)" in await returned(
        running, file, running.pids()
    )


async def test_slower_replicas_are_returned(up: Up, tmp_path: Path) -> None:
    running = await up(max=1)
    (tmp_path / "mode-two").write_text("sluggish")
    await ready(running, 1)
    async with asking(running, clients=6, stream=True) as asked:
        await until(lambda: asked.answers > 50)
        why = await returned(running, running.edited(SECOND), running.pids(), watch=4.0)
    assert "the new replicas are slower: TTFT p95 " in why
    assert "is over 1.5 times the old 0." in why
    assert asked.bad == []
    assert asked.replicas == {"chat-1", "chat-2"}


async def test_slower_replicas_that_keep_the_promise_are_kept(up: Up, tmp_path: Path) -> None:
    running = await up(max=1)
    (tmp_path / "mode-two").write_text("sluggish")
    await ready(running, 1)
    file = running.edited(
        SECOND, (MODEL, "{match: {model: [chat]}, deployment: chat, slo: {ttft: 5s}}")
    )
    async with asking(running, clients=6, stream=True) as asked:
        await until(lambda: asked.answers > 50)
        ended, lines = await roll(running, file, watch=3.0)
    assert ended == "done"
    assert any("chat-2 passed: TTFT p95 " in line for line in lines), lines
    assert "the gateway is switched: route chat: slo.ttft none -> 5" in lines
    assert asked.bad == []


async def test_replicas_that_fail_requests_are_returned_and_no_client_notices(
    up: Up, tmp_path: Path
) -> None:
    """The gateway asks the old one instead, and soon sends the failing one nothing more."""
    running = await up(max=1)
    (tmp_path / "mode-two").write_text("failing")
    await ready(running, 1)
    pids = running.pids()
    async with asking(running, clients=4) as asked:
        await until(lambda: asked.answers > 50)
        why = await returned(running, running.edited(SECOND), pids, watch=30.0)
    assert "the new replicas fail more: " in why
    assert running.pids() == pids
    assert asked.bad == []
    assert asked.replicas == {"chat-1"}


async def test_a_defect_in_a_rollout_returns_it_and_the_fleet_serves_on(
    up: Up, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def defect(*_given: object) -> str:
        raise ZeroDivisionError("on purpose")

    monkeypatch.setattr(rollout_judge, "comparison", defect)
    running = await up(max=1)
    (tmp_path / "mode-two").write_text("good")
    await ready(running, 1)
    pids = running.pids()
    why = await returned(running, running.edited(SECOND), pids, watch=0.1)
    assert "a defect of Headrace: ZeroDivisionError('on purpose')" in why
    assert running.pids() == pids


async def test_a_new_replica_is_not_blamed_for_an_old_one_of_its_name(
    up: Up, tmp_path: Path
) -> None:
    running = await up(max=1)
    (tmp_path / "mode-two").write_text("good")
    await ready(running, 1)
    deployments = running.supervisor._deployments
    assert deployments
    sins = control.ReplicaStats(requests=9, failures=9, ejected="9 failures in a row")
    deployments.hear(control.Stats(deployment="chat", window=60.0, replicas={"chat-2": sins}))
    assert (await roll(running, running.edited(SECOND), watch=0.1))[0] == "done"
    assert ids(running) == ["chat-2"]
