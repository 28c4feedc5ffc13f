"""What becomes of a replica that the gateway suspects, and of work on one that has to go; real processes."""

import asyncio
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from fleet_kit import QUICK, Running, ScriptLoader, Up, until, write_fleet
from test_up import ask

from headrace.gateway.control import Fault
from headrace.local import client, views
from headrace.local.restarts import Restarts
from headrace.view.states import State


async def ready(up: Up, **given: object) -> Running:
    running = await up(**given)
    count = given.get("min", 1)
    await until(lambda: running.states() == ["ready"] * int(str(count)))
    return running


def suspect(running: Running, what: str = "was silent for 30 s") -> None:
    running.supervisor._hear(Fault(deployment="chat", replica="chat-1", what=what))


def notes(running: Running, part: str) -> int:
    return sum(part in text for text in running.display.texts("note"))


def noted(running: Running, what: str) -> int:
    """Return how often the engine was asked the `known` prompt, or for its counters (`looks`)."""
    file = running.folder / what
    return file.stat().st_size if file.exists() else 0


def in_flight(running: Running) -> dict[str, int]:
    return {one.id: one.in_flight for one in running.status().deployments[0].replicas}


async def test_a_wedged_replica_is_found_by_the_known_prompt_in_one_look(up: Up) -> None:
    running = await ready(up)
    running.mode("wedged")
    suspect(running)
    for _ in range(10):  # while the look goes on: none of them asks for another
        await asyncio.sleep(0.02)
        suspect(running)
    await until(lambda: running.states() == ["probing"])
    assert notes(running, "was silent") == 1
    running.mode("good")
    await until(lambda: running.states() == ["ready"])
    assert running.display.texts("crashed") == []
    suspect(running)
    assert notes(running, "was silent") == 2


async def test_a_busy_replica_is_not_condemned(up: Up) -> None:
    running = await ready(up)
    running.mode("busy")
    suspect(running)
    await until(lambda: notes(running, "others get theirs") == 1)
    assert running.states() == ["ready"]
    assert running.display.texts("unhealthy") == []


async def test_a_replica_that_answers_wrongly_is_taken_out_when_suspected(up: Up) -> None:
    running = await ready(up)
    running.mode("wrong")
    suspect(running)
    await until(lambda: bool(running.display.texts("wrong")))
    assert "!!!!" in running.display.texts("wrong")[0]
    running.mode("good")
    await until(lambda: len(running.display.texts("ready")) == 2)


async def test_a_replica_that_turns_wrong_without_any_sign_is_taken_out_and_replaced(
    up: Up,
) -> None:
    running = await ready(up, pace=replace(QUICK, proof=0.2))
    running.mode("wrong")  # /health stays 200 and every request gets its 200
    await until(lambda: bool(running.display.texts("wrong")))
    assert notes(running, "asking again") == 1
    running.mode("good")
    await until(lambda: len(running.display.texts("ready")) == 2)


async def test_a_replica_that_proves_itself_again_and_again_stays(up: Up) -> None:
    running = await ready(up, pace=replace(QUICK, proof=0.05, prompt=10.0))
    before = noted(running, "known")
    await until(lambda: noted(running, "known") >= before + 5)
    assert running.states() == ["ready"]
    assert running.display.texts("note") == running.display.texts("unhealthy") == []


async def test_a_wedged_replica_that_nobody_suspects_is_found_too(up: Up) -> None:
    running = await ready(up, pace=replace(QUICK, proof=0.05, prompt=0.1))
    running.mode("wedged")
    await until(lambda: running.states() == ["probing"])
    running.mode("good")
    await until(lambda: running.states() == ["ready"])
    assert running.display.texts("crashed") == []


async def test_a_busy_replica_that_nobody_suspects_is_left_in_peace(up: Up) -> None:
    running = await ready(up, pace=replace(QUICK, proof=0.05))
    before = noted(running, "looks")
    running.mode("busy")
    await until(
        lambda: noted(running, "looks") >= before + 8
    )  # two for each try of the known prompt
    assert running.states() == ["ready"]
    assert running.display.texts("note") == running.display.texts("unhealthy") == []


async def test_a_word_about_all_replicas_is_passed_on(up: Up) -> None:
    running = await ready(up)
    running.supervisor._hear(Fault(deployment="chat", replica="", what="all are suspect"))
    assert running.display.texts("note") == ["the gateway says: all are suspect"]


async def test_what_outlasts_the_drain_moves_to_another_replica(up: Up) -> None:
    running = await ready(up, min=2, drain="300ms")
    asking = [asyncio.create_task(ask(running, "long")) for _ in range(2)]
    await until(lambda: in_flight(running) == {"chat-1": 1, "chat-2": 1})
    await client.scale(running.state, "chat", 1)
    moving = "moving 1 requests to other replicas"
    await until(lambda: moving in running.display.texts("stopping"))
    await until(lambda: in_flight(running) == {"chat-1": 2})
    (running.folder / "go").touch()
    answers = await asyncio.gather(*asking)
    assert [answer.status_code for answer in answers] == [200, 200]
    assert {answer.headers["x-headrace-replica"] for answer in answers} == {"chat-1"}


async def test_with_nobody_to_take_over_the_engines_own_drain_goes_on(up: Up) -> None:
    running = await ready(up, mode="patient", drain="300ms")
    asking = asyncio.create_task(ask(running, "long"))
    await until(lambda: in_flight(running) == {"chat-1": 1})
    await client.scale(running.state, "chat", 0)
    await until(lambda: running.states() == ["stopping"])
    (running.folder / "go").touch()
    answer = await asking
    assert (answer.status_code, answer.headers["x-headrace-attempts"]) == (200, "1")
    await until(lambda: running.states() == [])
    assert not any("moving" in text for text in running.display.texts("stopping"))


@pytest.mark.parametrize(
    ("state", "was_ready", "alone", "beside_a_ready_one"),
    [
        (State.STARTING, False, None, None),
        (State.PROBING, False, None, None),
        (State.READY, True, "ready", "ready"),
        (State.PROBING, True, "failed", "failed"),
        (State.WRONG, False, None, None),
        (State.WRONG, True, "failed", "failed"),
        (State.CRASHED, True, "failed", "failed"),
        (State.DRAINING, True, "draining", "draining"),
        (State.LEAVING, True, "draining", "leaving"),
        (State.STOPPING, True, "draining", "leaving"),
        (State.STOPPING, False, None, None),
        (State.GONE, True, None, None),
    ],
)
def test_what_the_gateway_is_told(
    tmp_path: Path, state: State, was_ready: bool, alone: str | None, beside_a_ready_one: str | None
) -> None:
    (blueprint,) = ScriptLoader().edition(write_fleet(tmp_path)).blueprints
    known = views.Known(restarts=Restarts(), crashes=0, last_words="", startup=None, starts={})

    def made(name: str, state: State, was_ready: bool) -> SimpleNamespace:
        seen = {"id": name, "port": 1, "state": state, "was_ready": was_ready, "since": 0.0}
        return SimpleNamespace(**seen, blueprint=blueprint, kv_tokens=None)

    one, other = made("one", state, was_ready), made("other", State.READY, was_ready=True)
    told = views.for_gateway(blueprint, known, [one])
    assert [replica.state for replica in told.replicas] == [alone] * (alone is not None)
    told = views.for_gateway(blueprint, known, [one, other])
    states = {replica.id: replica.state for replica in told.replicas}
    assert states.get("one") == beside_a_ready_one
    assert states["other"] == "ready"
