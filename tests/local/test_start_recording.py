"""Every start on this machine is in the ledger, however it ended, and the gateway's metrics tell of it."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path

import httpx
from filelock import FileLock
from fleet_kit import ScriptLoader, Up, until, write_fleet

from headrace.local import client
from headrace.local.outcome import Outcome
from headrace.local.recording import Preparation, Recorder
from headrace.local.startup import Phases
from headrace.local.stopping import Urgency
from headrace.starts.ledger import Ledger, read
from headrace.starts.start import Start


def recorded(folder: Path) -> tuple[Start, ...]:
    (path,) = folder.glob("s/*/starts.jsonl")
    return read(path).starts


async def until_recorded(folder: Path, count: int) -> tuple[Start, ...]:
    await until(lambda: any(folder.glob("s/*/starts.jsonl")) and len(recorded(folder)) >= count)
    return recorded(folder)


async def test_a_start_that_succeeds_and_the_next_in_its_place(up: Up) -> None:
    running = await up()
    (start,) = await until_recorded(running.folder, 1)
    assert (start.deployment, start.runtime, start.outcome) == ("chat", "local", "ready")
    assert (start.engine, start.hardware, start.emulated) == ("vllm", "cpu", False)
    assert (start.restart, start.beside, start.busy) == (False, 0, 0)
    assert list(start.phases) == ["import", "load", "serve", "known prompt"]
    assert 0 < start.total == start.lead < 60
    os.kill(running.pids()[0], 9)
    first, second = await until_recorded(running.folder, 2)
    assert first == start
    assert (second.outcome, second.restart) == ("ready", True)


async def test_starts_that_fail_say_in_which_phase_and_why(up: Up) -> None:
    running = await up("wrong")
    start = (await until_recorded(running.folder, 1))[0]
    assert (start.outcome, start.ended_in) == ("failed", "known prompt")
    assert "wrong answer" in start.why
    running.mode("crash")
    start = (await until_recorded(running.folder, 2))[1]
    assert (start.outcome, start.ended_in in {"import", "load"}) == ("failed", True)


async def test_a_start_that_is_stopped_is_no_failure(up: Up) -> None:
    running = await up("mute")
    running.supervisor.hurry()
    await running.task
    (start,) = recorded(running.folder)
    assert (start.outcome, start.ended_in, start.why) == ("stopped", "import", "")


async def test_starts_beside_others_are_told_apart(up: Up) -> None:
    running = await up(min=2)
    starts = await until_recorded(running.folder, 2)
    assert sorted(start.beside for start in starts) == [0, 1]


async def test_the_gateway_tells_what_starts_took(up: Up) -> None:
    running = await up()
    (start,) = await until_recorded(running.folder, 1)
    await until(lambda: bool(running.status().deployments[0].replicas))
    counted, page = 'headrace_starts_total{deployment="chat",outcome="ready"} 1.0', ""
    async with httpx.AsyncClient(trust_env=False) as asking, asyncio.timeout(60):
        while counted not in page:
            page = (await asking.get(f"{running.status().admin}/metrics")).text
    assert 'headrace_start_seconds{deployment="chat",phase="known prompt",quantile="0.9"}' in page
    assert 'headrace_start_seconds_count{deployment="chat",phase="total"} 1.0' in page
    told = float(page.split('phase="total",quantile="0.5"} ')[1].split()[0])
    assert abs(told - start.total) < 0.002


async def test_a_disk_that_takes_nothing_costs_a_note_and_no_replica(up: Up) -> None:
    running = await up("mute")
    path = running.state.starts
    path.mkdir()
    running.mode("good")
    await until(lambda: "READY" in str(running.states()).upper())
    await until(
        lambda: any("starts are not recorded" in text for text in running.display.texts("note"))
    )


async def test_what_had_to_be_there_first_belongs_to_the_first_start(tmp_path: Path) -> None:
    file = write_fleet(tmp_path)
    edition = ScriptLoader().edition(file)
    prepared = Preparation()
    prepared.weights("small", 12.5, True)
    recorder = Recorder(tmp_path / "starts.jsonl", Ledger(), prepared.of(edition))
    blueprint = edition.blueprints[0]
    for replica in ("chat-1", "chat-2"):
        phases = Phases(clock=iter((0.0, 3.0, 3.0, 4.0, 4.0)).__next__)
        opening = recorder.begin(blueprint, replica, restart=False)
        phases.begin("load")
        phases.begin("")
        opening.ready(phases)
    await recorder.flush()
    first, second = read(tmp_path / "starts.jsonl").starts
    assert first.phases == {"environment": 0.0, "weights": 12.5, "import": 3.0, "load": 1.0}
    assert (first.fetched, first.total, first.lead) == (True, 16.5, 4.0)
    assert (second.phases, second.fetched) == ({"import": 3.0, "load": 1.0}, False)
    assert recorder.lead(blueprint) == 4.0


async def test_a_start_is_closed_once(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "starts.jsonl")
    blueprint = ScriptLoader().edition(write_fleet(tmp_path)).blueprints[0]
    opening = recorder.begin(blueprint, "chat-1", restart=False)
    opening.ready(Phases())
    opening.ended(Phases(), Outcome("crashed", "x"))
    await recorder.flush()
    assert [one.outcome for one in read(tmp_path / "starts.jsonl").starts] == ["ready"]


async def test_a_file_that_somebody_holds_makes_no_replica_wait(tmp_path: Path) -> None:
    path = tmp_path / "starts.jsonl"
    recorder = Recorder(path)
    blueprint = ScriptLoader().edition(write_fleet(tmp_path)).blueprints[0]
    names = [f"chat-{n}" for n in range(1, 6)]
    with FileLock(f"{path}.lock"):
        for name in names:
            recorder.begin(blueprint, name, restart=False).ready(Phases())
            await asyncio.sleep(0)
        assert not path.exists()
        assert recorder.figures(blueprint) is not None, "what is known does not wait for the file"
    await recorder.flush()
    assert [one.id.partition("@")[0] for one in read(path).starts] == names


async def test_a_fleet_ends_when_its_starts_are_written(up: Up) -> None:
    running = await up("mute")
    with FileLock(f"{running.state.starts}.lock"):
        running.supervisor.hurry(Urgency.KILL)
        await until(lambda: bool(running.display.texts("gone")))
        await asyncio.wait([running.task], timeout=1)
        assert not running.task.done()
        assert not running.state.starts.exists()
    await running.task
    (start,) = recorded(running.folder)
    assert start.outcome == "stopped"


async def test_who_is_told_of_more_replicas_is_told_how_long_that_takes(up: Up) -> None:
    running = await up()
    await until_recorded(running.folder, 1)
    await client.scale(running.state, "chat", 2)
    await until(lambda: bool(running.display.texts("scaled")))
    assert re.search(
        r"1 -> 2 replicas: .*; a start takes about \d+ s$", running.display.texts("scaled")[0]
    )
    await client.scale(running.state, "chat", 1)
    await until(lambda: len(running.display.texts("scaled")) > 1)
    assert "a start takes" not in running.display.texts("scaled")[1]
