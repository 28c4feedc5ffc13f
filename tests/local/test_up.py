"""A fleet from its start to its end, with real processes: the gateway, keepers, and a small engine script."""

import asyncio
import os
import signal
import sys
from dataclasses import replace

import httpx
import psutil
import pytest
from fleet_kit import QUICK, Running, Up, until

from headrace.gateway.control import Fault
from headrace.local import client
from headrace.local.gateway_link import GatewayError
from headrace.local.state import state_dir


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def ask(running: Running, prompt: str = "1, 2, 3, 4, 5, 6,") -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
        body = {"model": "chat", "prompt": prompt, "max_tokens": 4}
        return await http.post(f"{running.address}/completions", json=body)


async def test_a_fleet_gets_ready_answers_and_leaves_nothing(up: Up) -> None:
    running = await up()
    await until(lambda: bool(running.display.served))
    answer = await ask(running)
    assert answer.status_code == 200
    assert answer.json()["choices"][0]["text"].startswith(" 7, 8")
    assert answer.headers["x-headrace-replica"] == "chat-1"
    (replica,) = running.status().deployments[0].replicas
    assert replica.state == "ready"
    assert [phase.name for phase in replica.phases] == ["import", "load", "serve", "known prompt"]
    pids = [*running.pids(), running.status().gateway_pid]
    running.supervisor.hurry()
    assert await running.task == 0
    assert not any(alive(pid) for pid in pids if pid)
    assert running.display.texts("unhealthy") == []
    folder = state_dir("test", running.folder / "fleet.yaml", running.folder / "s")
    assert not folder.socket.exists()
    assert (folder.logs / "chat-1.log").read_text().startswith("PHASE load")


async def test_a_request_wakes_an_idle_fleet_and_it_sleeps_again(up: Up) -> None:
    running = await up(min=0)
    await until(lambda: bool(running.display.served))
    assert running.states() == []
    answer = await ask(running)
    assert answer.status_code == 200
    assert float(answer.headers["x-headrace-held-ms"]) > 0
    await until(lambda: running.states() == [])
    first, last = running.display.texts("scaled")[0], running.display.texts("scaled")[-1]
    assert first.startswith("0 -> 1")
    assert last.startswith("1 -> 0")


async def test_load_brings_a_second_replica_that_takes_work(up: Up) -> None:
    running = await up(room=2, cooldown="60s")
    await until(lambda: bool(running.display.served))
    replicas: set[str] = set()

    async def keep_asking() -> None:
        while len(replicas) < 2:
            answer = await ask(running, "slow")
            assert answer.status_code == 200
            replicas.add(answer.headers["x-headrace-replica"])

    await asyncio.wait_for(asyncio.gather(*(keep_asking() for _ in range(12))), 60)
    assert replicas == {"chat-1", "chat-2"}
    await until(lambda: running.states() == ["ready"])


async def test_scaling_down_lets_running_requests_finish(up: Up) -> None:
    running = await up()
    await until(lambda: running.states() == ["ready"])
    asking = asyncio.create_task(ask(running, "long"))
    await until(lambda: running.status().deployments[0].running == 1)
    await client.scale(running.state, "chat", 0)
    await until(lambda: running.states() == ["draining"])
    (running.folder / "go").touch()
    assert (await asking).status_code == 200
    await until(lambda: running.states() == [])


async def test_scale_pauses_and_auto_resumes(up: Up) -> None:
    running = await up()
    await until(lambda: running.states() == ["ready"])
    await client.scale(running.state, "chat", 2)
    await until(lambda: running.states() == ["ready", "ready"])
    assert running.status().deployments[0].paused
    await client.scale(running.state, "chat", None)
    await until(lambda: running.states() == ["ready"])
    assert not running.status().deployments[0].paused
    with pytest.raises(client.RefusedError, match=r"3 replicas are outside 0 to 2"):
        await client.scale(running.state, "chat", 3)
    with pytest.raises(client.RefusedError, match="no deployment is named 'chatt'; known: chat"):
        await client.scale(running.state, "chatt", 1)


async def test_a_dead_replica_is_replaced(up: Up) -> None:
    running = await up()
    await until(lambda: running.states() == ["ready"])
    os.kill(running.pids()[0], signal.SIGKILL)
    await until(lambda: len(running.display.texts("ready")) == 2)
    (crash,) = running.display.texts("crashed")
    assert crash.startswith("killed by SIGKILL")
    assert (await ask(running)).status_code == 200
    (replica,) = running.status().deployments[0].replicas
    assert (replica.id, replica.restarts) == ("chat-1", 1)


@pytest.mark.parametrize(("number", "told"), [(signal.SIGTERM, True), (signal.SIGKILL, False)])
async def test_whether_somebody_told_an_engine_to_end_is_kept(
    up: Up, number: signal.Signals, told: bool
) -> None:
    running = await up()
    await until(lambda: running.states() == ["ready"])
    os.kill(running.pids()[0], number)
    await until(lambda: bool(running.display.texts("crashed")))
    assert [one.told for one in running.display.events if one.kind == "crashed"] == [told]


@pytest.mark.parametrize(("mode", "told"), [("silent", True), ("wrong", False)])
async def test_an_engine_that_answers_nothing_is_as_one_that_was_told_to_end(
    up: Up, mode: str, told: bool
) -> None:
    running = await up(mode)
    await until(lambda: bool(running.display.texts("crashed")))
    kinds = {"wrong", "crashed"}
    assert {(one.kind, one.told) for one in running.display.events if one.kind in kinds} == {
        ("wrong", told), ("crashed", told),
    }  # fmt: skip


async def test_a_dead_gateway_is_replaced_on_the_same_address(up: Up) -> None:
    running = await up()
    await until(lambda: running.states() == ["ready"])
    gateway = running.status().gateway_pid
    assert gateway
    os.kill(gateway, signal.SIGKILL)
    await until(lambda: running.status().gateway_pid not in {None, gateway})
    assert (await ask(running)).status_code == 200


async def test_a_crash_loop_ends_with_the_engines_own_words(
    up: Up, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace.local.restarts.FIRST", 0.01)
    running = await up(mode="crash")
    assert await asyncio.wait_for(running.task, 60) == 1
    assert len(running.display.texts("crashed")) == 3
    (words,) = running.display.texts("gave-up")
    assert words.startswith("exit status 3: ValueError: no such weights")
    assert "Traceback" not in words
    assert "headrace scale chat auto" in words


async def test_an_engine_that_answers_wrongly_never_gets_work(
    up: Up, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace.local.restarts.FIRST", 0.01)
    running = await up(mode="wrong")
    assert await asyncio.wait_for(running.task, 60) == 1
    assert running.display.texts("ready") == []
    assert "!!!!" in running.display.texts("wrong")[0]
    assert "wrong answer" in running.display.texts("gave-up")[0]


async def test_a_sick_replica_gets_no_work_until_it_is_well(up: Up) -> None:
    running = await up()
    await until(lambda: running.states() == ["ready"])
    running.mode("sick")
    await until(lambda: running.states() == ["probing"])
    running.mode("good")
    await until(lambda: running.states() == ["ready"])
    assert len(running.display.texts("unhealthy")) == 1
    assert running.display.texts("ready")[-1] == "answers rightly again"
    assert running.display.texts("crashed") == []


async def test_a_replica_that_stays_sick_counts_as_crashed(up: Up) -> None:
    running = await up(pace=replace(QUICK, recovery=1.0))
    await until(lambda: running.states() == ["ready"])
    running.mode("sick")
    await until(lambda: bool(running.display.texts("crashed")))
    assert running.display.texts("crashed")[0].startswith("no sign of health for 1 s")


async def test_a_replica_that_is_not_ready_in_time_says_where_it_stood(
    up: Up, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace.local.restarts.FIRST", 0.01)
    running = await up(mode="mute", startup="300ms")
    await until(lambda: bool(running.display.texts("crashed")))
    (words, *_) = running.display.texts("crashed")
    assert words.startswith("not ready within 0.3 s (lifecycle.startup), still in phase ")


async def test_a_killed_keeper_leaves_neither_engine_nor_helpers(up: Up) -> None:
    running = await up(mode="family")
    await until(lambda: running.states() == ["ready"])
    (engine,) = running.pids()
    helper = int((running.folder / "helper").read_text())
    psutil.Process(engine).parent().kill()  # type: ignore[union-attr]
    await until(lambda: not alive(engine) and not alive(helper))
    await until(lambda: len(running.display.texts("ready")) == 2)


async def test_a_port_taken_by_another_is_bad_luck_three_times_and_then_a_crash(up: Up) -> None:
    running = await up(mode="clash")
    await until(lambda: bool(running.display.texts("crashed")))
    notes = [text for text in running.display.texts("note") if "was taken first" in text]
    assert len(notes) == 3
    assert "Address already in use" in running.display.texts("crashed")[0]


async def test_a_gateway_that_never_stays_up_ends_the_fleet_with_its_words(up: Up) -> None:
    script = "import sys; print('no such option', file=sys.stderr); sys.exit(4)"
    before = psutil.Process().children()
    running = await up(gateway_command=(sys.executable, "-S", "-c", script))
    with pytest.raises(GatewayError, match=r"ended 5 times .*status 4.*(?s:.*)no such option"):
        await running.task
    assert psutil.Process().children() == before


async def test_stopping_before_anything_has_started(up: Up) -> None:
    before = psutil.Process().children()  # tests of others leave a helper of multiprocessing's
    running = await up()
    running.supervisor.hurry()
    assert await running.task == 0
    assert psutil.Process().children() == before


async def test_many_reports_of_a_fault_are_one_look(up: Up) -> None:
    running = await up()
    await until(lambda: running.states() == ["ready"])
    running.mode("sick")
    for _ in range(50):
        fault = Fault(deployment="chat", replica="chat-1", what="connection reset")
        running.supervisor._hear(fault)
    await until(lambda: running.states() == ["probing"])
    notes = [text for text in running.display.texts("note") if "connection reset" in text]
    assert len(notes) == 1


async def test_hurrying_twice_does_not_wait_for_requests(up: Up) -> None:
    running = await up(mode="deaf", drain="300s", grace="400s")
    await until(lambda: running.states() == ["ready"])
    pids = running.pids()
    asking = asyncio.create_task(ask(running, "long"))
    await until(lambda: running.status().deployments[0].running == 1)
    running.supervisor.hurry()
    running.supervisor.hurry()
    running.supervisor.hurry()
    assert await asyncio.wait_for(running.task, 60) == 0
    assert not any(alive(pid) for pid in pids)
    await asyncio.wait([asking])


async def test_down_from_another_process(up: Up) -> None:
    running = await up()
    await client.wait_ready(running.state)
    status = await client.status(running.state)
    assert status.deployments[0].ready == 1
    assert status.address == running.address
    await client.down(running.state)
    assert await running.task == 0


async def test_decisions_are_logged_with_inputs_and_reason(up: Up) -> None:
    running = await up()
    await until(lambda: running.states() == ["ready"])
    lines = running.state.decisions.read_text().splitlines()
    assert '"deployment":"chat"' in lines[0]
    assert '"reason"' in lines[0]
    assert '"inputs"' in lines[0]
