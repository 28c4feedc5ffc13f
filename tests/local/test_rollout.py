"""A running fleet moves to another file while clients ask: real gateway, keepers and processes."""

import json
import os
import signal
from pathlib import Path

import httpx
import pytest
from fleet_kit import Up, until
from rollout_kit import SECOND, asking, chat, followed, ids, lowest, ready, returned, roll

from headrace.local import client, rollout_client
from headrace.local.rollouts import Interrupted, interrupted
from headrace.local.state import holder


async def test_every_replica_is_replaced_and_no_request_fails(up: Up, tmp_path: Path) -> None:
    running = await up(min=2)
    (tmp_path / "mode-two").write_text("good")
    await ready(running, 2)
    before = set(running.pids())
    file = running.edited(SECOND, ("max_num_seqs: 4", "max_num_seqs: 6"))
    async with asking(running) as asked, lowest(running) as fewest:
        await until(lambda: asked.answers > 10)
        plan = await rollout_client.rollout(running.state, file, watch=0.6)
        assert plan == ("chat: rolled: engine.flags.mode none -> two, max_num_seqs 4 -> 6",)
        with pytest.raises(client.RefusedError, match=r"a rollout to .*next.yaml is running"):
            await rollout_client.rollout(running.state, file)
        ended, lines = await followed(running)
        wanted = asked.answers + 10
        await until(lambda: asked.answers > wanted)
    assert ended == "done"
    assert fewest.ready >= 2
    assert asked.bad == []
    assert not before & set(running.pids())
    assert running.states() == ["ready", "ready"]
    assert {replica.room for replica in chat(running).replicas} == {6}
    first, second = [line for line in lines if "watching" in line]
    assert first == "chat: 1 of 2 is new; watching chat-3 for 0.6 s"
    assert second.startswith("chat: 2 of 2 is new; watching chat-")
    assert lines[-1] == f"done: the fleet serves {file}"
    assert running.status().file == str(file)
    who = holder(running.state)
    assert who
    assert who.file == str(file)
    assert [event.text for event in running.display.events if event.kind == "rollout"] == lines
    journal = [json.loads(line)["text"] for line in running.state.rollouts.read_text().splitlines()]
    assert set(lines) <= set(journal)
    assert not running.state.rollout.exists()
    assert await rollout_client.rollout(running.state, file) == ()


async def test_a_paused_rollout_scales_and_goes_on(up: Up, tmp_path: Path) -> None:
    running = await up(min=2, max=3)
    (tmp_path / "mode-two").write_text("good")
    await ready(running, 2)
    await rollout_client.rollout(running.state, running.edited(SECOND), watch=600)
    await until(lambda: "watching" in str(running.status().rollout))
    await rollout_client.pause_rollout(running.state)
    ended, lines = await followed(running)
    assert (ended, "--resume" in lines[-1]) == ("paused", True)
    with pytest.raises(client.RefusedError, match="no rollout can be paused: it is paused"):
        await rollout_client.pause_rollout(running.state)
    await client.scale(running.state, "chat", 1)
    await until(lambda: running.states() == ["ready", "ready"])  # one old, and the new one
    await client.scale(running.state, "chat", 3)
    await ready(running, 4)
    await rollout_client.undo_rollout(running.state)
    assert (await followed(running))[0] == "undone"
    await ready(running, 3)
    assert "chat-3" not in ids(running)


async def test_resumed_it_ends_as_if_it_had_not_been_paused(up: Up, tmp_path: Path) -> None:
    running = await up(min=2)
    (tmp_path / "mode-two").write_text("good")
    await ready(running, 2)
    with pytest.raises(client.RefusedError, match="there has been no rollout"):
        await rollout_client.undo_rollout(running.state)
    with pytest.raises(client.RefusedError, match="no rollout can be resumed: none is under way"):
        await rollout_client.resume_rollout(running.state)
    await rollout_client.rollout(running.state, running.edited(SECOND), watch=0.2)
    await rollout_client.pause_rollout(running.state)
    await ready(running, 3)
    await rollout_client.resume_rollout(running.state)
    ended, lines = await followed(running)
    assert ended == "done"
    assert "resumed" in lines


async def test_a_finished_rollout_is_undone_though_its_file_was_edited_in_place(
    up: Up, tmp_path: Path
) -> None:
    running = await up(min=2)
    (tmp_path / "mode-two").write_text("good")
    await ready(running, 2)
    file = running.edited(SECOND, to="fleet.yaml")
    assert (await roll(running, file, watch=0.1))[0] == "done"
    new = set(running.pids())
    async with asking(running) as asked, lowest(running) as fewest:
        assert await rollout_client.undo_rollout(running.state) == (
            "chat: rolled: engine.flags.mode two -> none",
        )
        ended, lines = await followed(running)
    assert ended == "done"
    assert fewest.ready >= 2
    assert asked.bad == []
    assert not any("watching" in line for line in lines)
    assert not new & set(running.pids())
    await rollout_client.undo_rollout(running.state)  # and forward again
    assert (await followed(running))[0] == "done"


async def test_what_no_engine_notices_is_changed_in_place(up: Up) -> None:
    running = await up()
    await ready(running, 1)
    pids = running.pids()
    file = running.edited(
        ("min: 1, max: 2, initial: 1", "min: 2, max: 3, initial: 2"), ("drain: 5s", "drain: 4s")
    )
    ended, _ = await roll(running, file)
    assert ended == "done"
    await ready(running, 2)
    assert running.pids()[:1] == pids
    assert (chat(running).min, chat(running).max) == (2, 3)


async def test_an_alias_is_added_and_another_taken_away(up: Up, tmp_path: Path) -> None:
    running = await up()
    (tmp_path / "mode-two").write_text("good")
    await ready(running, 1)
    file = running.edited(SECOND, ("model: [chat]", "model: [talk]"))
    async with httpx.AsyncClient(trust_env=False) as http:

        async def models() -> list[str]:
            listed = await http.get(f"{running.address}/models")
            return [model["id"] for model in listed.json()["data"]]

        assert await models() == ["chat"]
        plan = await rollout_client.rollout(running.state, file, watch=0.1)
        assert plan == (
            "chat: rolled: engine.flags.mode none -> two",
            "route chat: match.model [chat] -> [talk]",
        )
        assert (await followed(running))[0] == "done"
        async with asking(running, "talk") as asked:
            await until(lambda: asked.answers > 5)
            assert await models() == ["talk"]
    assert asked.bad == []
    assert chat(running).models == ("talk",)


async def test_a_deployment_is_added_and_another_removed(up: Up) -> None:
    """The same alias moves from one deployment to the other; whoever asks meanwhile notices nothing."""
    running = await up()
    await ready(running, 1)
    file = running.edited(
        ("\n  chat:\n    model", "\n  other:\n    model"), ("deployment: chat", "deployment: other")
    )
    async with asking(running) as asked:
        await until(lambda: asked.answers > 10)
        plan = await rollout_client.rollout(running.state, file)
        assert plan == (
            "other: added",
            "chat: removed",
            "route chat: deployment chat -> other",
        )
        assert (await followed(running))[0] == "done"
        wanted = asked.answers + 10
        await until(lambda: asked.answers > wanted)
    assert asked.bad == []
    assert asked.replicas == {"chat-1", "other-1"}
    assert [one.name for one in running.status().deployments] == ["other"]
    assert ids(running) == ["other-1"]


async def test_an_added_deployment_that_cannot_start_changes_nothing(
    up: Up, tmp_path: Path
) -> None:
    running = await up()
    (tmp_path / "mode-two").write_text("crash")
    await ready(running, 1)
    second = "\n  other: {model: small, hardware: here, engine: {flags: {mode: two}}}\nroutes:\n  other: {match: {model: [other]}, deployment: other}"
    why = await returned(running, running.edited(("\nroutes:", second)), running.pids())
    assert "other: cannot be started: exit status 3" in why
    assert [one.name for one in running.status().deployments] == ["chat"]


async def test_a_fleet_at_rest_proves_one_new_replica_and_rests_again(
    up: Up, tmp_path: Path
) -> None:
    running = await up(min=0)
    (tmp_path / "mode-two").write_text("good")
    await until(lambda: bool(running.display.served))
    ended, _ = await roll(running, running.edited(SECOND), watch=0.1)
    assert ended == "done"
    await until(lambda: running.states() == [])
    assert len(running.display.texts("ready")) == 1


async def test_an_old_replica_that_dies_meanwhile_is_replaced(up: Up, tmp_path: Path) -> None:
    running = await up(min=2)
    (tmp_path / "mode-two").write_text("good")
    await ready(running, 2)
    await rollout_client.rollout(running.state, running.edited(SECOND), watch=1.5)
    await until(lambda: "watching" in str(running.status().rollout))
    os.kill(running.pids()[0], signal.SIGKILL)
    assert (await followed(running))[0] == "done"
    await ready(running, 2)
    assert len(running.display.texts("crashed")) == 1


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("fleet: test", "fleet: toast", "the fleet that is up is 'test', not 'toast'"),
        (
            "port: 0, admin",
            "port: 9, admin",
            r"next.yaml:15: gateway.port: 0 cannot become 9 while",
        ),
        ("admin_port: 0", "admin_port: 9", r"gateway.admin_port: 0 cannot become 9 while"),
        ("model: small", "model: smal", r"next.yaml:7: deployments.chat.model: no model is named"),
    ],
)
async def test_what_cannot_be_rolled_out_is_refused_and_changes_nothing(
    up: Up, old: str, new: str, expected: str
) -> None:
    running = await up()
    await ready(running, 1)
    with pytest.raises(client.RefusedError, match=expected):
        await rollout_client.rollout(running.state, running.edited((old, new)))
    assert running.status().rollout is None


async def test_without_room_for_one_more_nothing_begins(up: Up) -> None:
    running = await up()
    await ready(running, 1)
    running.loader.full = "it needs 2.0 GiB and 1.0 GiB are available"
    with pytest.raises(
        client.RefusedError, match=r"deployments\.chat: it needs 2\.0 GiB and 1\.0 GiB"
    ):
        await rollout_client.rollout(running.state, running.edited(SECOND))


async def test_a_fleet_that_ends_in_the_middle_says_so_at_its_next_start(
    up: Up, tmp_path: Path
) -> None:
    running = await up()
    (tmp_path / "mode-two").write_text("good")
    await ready(running, 1)
    file = running.edited(SECOND)
    await rollout_client.rollout(running.state, file, watch=600)
    await until(running.state.rollout.exists)
    running.supervisor.hurry()
    assert await running.task == 0
    note = interrupted(running.state)
    assert note.startswith(f"a rollout from {running.folder / 'fleet.yaml'} to {file}, begun 2")
    assert interrupted(running.state) == ""
    running.state.rollout.write_bytes(b"nonsense")
    assert interrupted(running.state) == ""
    running.state.rollout.write_bytes(
        json.dumps(Interrupted("a", "b", 0.0).__struct_fields__).encode()
    )
    assert interrupted(running.state) == ""
