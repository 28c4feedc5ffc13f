"""An edited file applied to a fleet that serves: at once, whole or not at all, and no replica notices."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from fleet_kit import Running, ScriptLoader, Up, until, write_fleet
from rollout_kit import MODEL, SECOND, Asking, asking, chat, followed, ready, roll

from headrace.fleet.problems import FleetError
from headrace.gateway.keys import add_key
from headrace.local import client, reload, rollout_client
from headrace.local.recording import Recorder
from headrace.local.replica import Replica, Site
from headrace.local.state import holder

CANARY = (
    "\n  chat:\n    model",
    (
        "\n  canary: {model: small, hardware: here, max_num_seqs: 4, engine: {flags: {mode: two}}}"
        "\n  chat:\n    model"
    ),
)


def shares(chat: int, canary: int) -> str:
    return (
        "{match: {model: [chat]}, sticky: none, variants: "
        f"[{{deployment: chat, weight: {chat}}}, {{deployment: canary, weight: {canary}}}]}}"
    )


async def more(asked: Asking, answers: int = 20) -> None:
    wanted = asked.answers + answers
    await until(lambda: asked.answers >= wanted)


def pids(running: Running) -> list[int | None]:
    return [replica.pid for one in running.status().deployments for replica in one.replicas]


async def test_a_canary_goes_up_and_back_under_load_and_nobody_fails(
    up: Up, tmp_path: Path
) -> None:
    running = await up()
    (tmp_path / "mode-two").write_text("good")
    await ready(running, 1)
    first = running.edited(CANARY, (MODEL, shares(95, 5)))
    assert (await roll(running, first))[0] == "done"
    before = pids(running)
    async with asking(running) as asked:
        await more(asked)
        half = running.edited(CANARY, (MODEL, shares(50, 50)))
        lines = await rollout_client.reload(running.state, half)
        assert lines == ("route chat: variants chat 95 -> 50, canary 5 -> 50",)
        await until(lambda: {"canary-1", "chat-1"} <= asked.replicas)
        none = running.edited(CANARY, (MODEL, shares(100, 0)))
        lines = await rollout_client.reload(running.state, none)
        assert lines == ("route chat: variants chat 50 -> 100, canary 50 -> 0",)
        await more(asked)
        asked.replicas.clear()
        await more(asked)
    assert asked.bad == []
    assert asked.replicas == {"chat-1"}
    assert pids(running) == before
    assert "route chat: variants chat 95 -> 50, canary 5 -> 50" in running.display.texts("rollout")


async def test_it_is_served_by_later_gateways_too_and_status_names_the_file(up: Up) -> None:
    running = await up()
    await ready(running, 1)
    before, first = pids(running), holder(running.state)
    file = running.edited(
        ("model: [chat]", "model: [chat, talk]"),
        ("max_num_seqs: 4", "max_num_seqs: 4\n    price: {input: 2}"),
    )
    assert await rollout_client.reload(running.state, file) == (
        "chat: in place: price none -> {input: 2, output: 0}",
        "route chat: match.model [chat] -> [chat, talk]",
    )
    await client.replace_gateway(running.state)
    async with asking(running, "talk") as asked:
        await more(asked)
    assert asked.bad == []
    assert pids(running) == before
    assert chat(running).models == ("chat", "talk")
    assert running.status().file == str(file)
    who = holder(running.state)
    assert who
    assert first
    assert (who.file, who.since) == (str(file), first.since)
    assert await rollout_client.reload(running.state, file) == ()


async def test_scaling_is_changed_at_once(up: Up) -> None:
    running = await up()
    await ready(running, 1)
    before = pids(running)
    file = running.edited(("min: 1, max: 2, initial: 1", "min: 2, max: 3, initial: 2"))
    assert await rollout_client.reload(running.state, file) == (
        "chat: in place: scaling.min 1 -> 2, scaling.max 2 -> 3, scaling.initial 1 -> 2",
    )
    await ready(running, 2)
    assert pids(running)[:1] == before


async def test_keys_come_with_the_file_and_bad_ones_refuse_all_of_it(
    up: Up, tmp_path: Path
) -> None:
    running = await up()
    await ready(running, 1)
    keyed = running.edited(("admin_port: 0", "admin_port: 0, keys: keys.yaml"))
    with pytest.raises(client.RefusedError, match=r"keys\.yaml"):
        await rollout_client.reload(running.state, keyed)
    add_key(tmp_path / "keys.yaml", "team")
    assert await rollout_client.reload(running.state, keyed) == ("gateway: keys none -> keys.yaml",)
    async with httpx.AsyncClient(trust_env=False) as http:
        body = {"model": "chat", "prompt": "hello", "max_tokens": 1}
        answer = await http.post(f"{running.address}/completions", json=body)
        assert answer.status_code == 401


async def test_what_needs_replicas_is_refused_and_nothing_of_the_file_is_applied(up: Up) -> None:
    running = await up()
    await ready(running, 1)
    file = running.edited(
        ("max_num_seqs: 4", "max_num_seqs: 4\n    max_model_len: 4096"),
        ("model: [chat]", "model: [talk]"),
    )
    expected = (
        r"next\.yaml:10: deployments\.chat\.max_model_len: none -> 4096 needs new replicas; "
        r"use `headrace rollout`$"
    )
    with pytest.raises(client.RefusedError, match=expected):
        await rollout_client.reload(running.state, file)
    async with asking(running) as asked:
        await more(asked)
    assert asked.bad == []
    assert running.status().file == str(running.folder / "fleet.yaml")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            ("kind: cpu", "kind: cpu, cores: 2"),
            "hardware.here.cores: none -> 2 needs new replicas; use `headrace rollout`",
        ),
        (
            ("file:///nowhere", "file:///elsewhere"),
            "models.small.weights: file:///nowhere -> file:///elsewhere needs new replicas",
        ),
        (SECOND, "deployments.chat.engine.flags.mode: none -> two needs new replicas"),
        (
            ("hardware: here", "hardware: here\n    engine: {env: {OTHER: hunter2}}"),
            "deployments.chat.engine.env.OTHER: needs new replicas; use `headrace rollout`",
        ),
        (
            ("hardware: here", "hardware: here\n    adapters: {pirate: {weights: 'file:///p'}}"),
            "deployments.chat.adapters.pirate: none -> {weights: file:///p} needs new replicas",
        ),
        (
            ("\n  chat:\n    model", "\n  other:\n    model"),
            "deployments.other: it is new and needs new replicas; use `headrace rollout`",
        ),
        (
            ("\n  chat:\n    model", "\n  other:\n    model"),
            "deployments: chat is gone, and its replicas; use `headrace rollout`",
        ),
        (("port: 0, admin", "port: 9, admin"), "gateway.port: 0 cannot become 9 while"),
        (("fleet: test", "fleet: toast"), "the fleet that is up is 'test', not 'toast'"),
        (("max: 2", "max: many"), "deployments.chat.scaling.max: "),
    ],
)
def test_every_reason_names_its_field_and_the_way_out(
    tmp_path: Path, change: tuple[str, str], expected: str
) -> None:
    running = ScriptLoader().edition(write_fleet(tmp_path))
    text = running.path.read_text()
    assert change[0] in text
    text = text.replace(*change).replace("[chat]}", "[chat, pirate]}")
    if "other" in expected or "gone" in expected:
        text = text.replace("deployment: chat", "deployment: other")
    file = tmp_path / "next.yaml"
    file.write_text(text)
    with pytest.raises(FleetError) as refused:
        reload.read(running, file)
    assert expected in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_a_running_replica_keeps_the_names_that_its_engine_knows(tmp_path: Path) -> None:
    running = ScriptLoader().edition(write_fleet(tmp_path))
    file = tmp_path / "next.yaml"
    text = running.path.read_text().replace("model: [chat]", "model: [talk, say]")
    file.write_text(text.replace("drain: 5s", "drain: 4s"))
    (made,) = reload.read(running, file).edition.blueprints
    assert made.served_names == ("talk", "say", "chat")
    client: Any = None  # nothing is asked
    site = Site(tmp_path, tmp_path, client, lambda _: None, Recorder(tmp_path / "starts.jsonl"))
    replica = Replica(running.blueprints[0], 1, site, lambda: None, lambda: True)
    replica.adopt(made)
    assert replica.blueprint.served_names == ("chat",)
    assert replica.blueprint.deployment.lifecycle.drain == 4.0


async def test_a_reload_is_undone_as_a_rollout_is(up: Up) -> None:
    running = await up()
    await ready(running, 1)
    before = pids(running)
    file = running.edited(("model: [chat]", "model: [talk]"), to="fleet.yaml")
    await rollout_client.reload(running.state, file)
    assert await rollout_client.undo_rollout(running.state) == (
        "chat: unchanged",
        "route chat: match.model [talk] -> [chat]",
    )
    assert (await followed(running))[0] == "done"
    async with asking(running) as asked:
        await more(asked)
    assert asked.bad == []
    assert pids(running) == before


async def test_during_a_rollout_it_is_refused(up: Up, tmp_path: Path) -> None:
    running = await up()
    (tmp_path / "mode-two").write_text("good")
    await ready(running, 1)
    await rollout_client.rollout(running.state, running.edited(SECOND), watch=600)
    with pytest.raises(client.RefusedError, match=r"a rollout to .*next\.yaml is running"):
        await rollout_client.reload(running.state, running.folder / "fleet.yaml")
