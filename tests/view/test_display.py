import io
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from headrace.fleet.load import load_fleet
from headrace.local.blueprint import plain_model
from headrace.local.journal import Journal
from headrace.view import display
from headrace.view.events import Event, event
from headrace.view.states import State
from headrace.view.status import DeploymentStatus, FleetStatus, Phase, ReplicaStatus


def replica(state: State, **given: Any) -> ReplicaStatus:
    values: dict[str, Any] = {
        "id": "chat-1",
        "state": state,
        "age": 12.4,
        "phase": "load",
        "in_phase": 2.0,
        "phases": (Phase("import", 8.13),),
        "pid": 1,
        "port": 2,
        "in_flight": 3,
        "room": 16,
        "restarts": 0,
        "log": "/l",
    }
    return ReplicaStatus(**(values | given))


def deployment(*replicas: ReplicaStatus, **given: Any) -> DeploymentStatus:
    values: dict[str, Any] = {
        "name": "chat",
        "models": ("small", "tiny"),
        "min": 1,
        "max": 2,
        "desired": 1,
        "paused": False,
        "why": "5 waiting",
        "held": 4,
        "queued": 1,
        "running": 3,
        "crashes": 0,
        "given_up": False,
        "retry_in": None,
        "last_words": "",
        "replicas": replicas,
    }
    return DeploymentStatus(**(values | given))


def test_work_by_route_is_told_where_there_are_several() -> None:
    one = deployment(routes={"chat": (1, 2)})
    assert not [line for line in display.remarks(fleet(one)) if line.startswith("route")]
    other = deployment(name="big", routes={"docs": (3, 0), "chat": (1, 1)})
    told = [line for line in display.remarks(fleet(one, other)) if line.startswith("route")]
    assert told == ["route chat: 2 waiting, 3 running", "route docs: 3 waiting, 0 running"]


def fleet(*deployments: DeploymentStatus, gateway: int | None = 7) -> FleetStatus:
    return FleetStatus(
        fleet="laptop",
        file="f.yaml",
        pid=1,
        since=0.0,
        uptime=1.0,
        address="http://127.0.0.1:8080/v1",
        stopping=False,
        gateway_pid=gateway,
        deployments=deployments,
    )


def test_plain_lines_have_time_subject_text_and_seconds() -> None:
    stream = io.StringIO()
    plain = display.display_for(stream)
    assert isinstance(plain, display.PlainDisplay)
    plain.show(Event(at=0.0, kind="phase", subject="chat-1", text="load", seconds=2.04))
    assert stream.getvalue()[2::3][:2] == "::"
    assert stream.getvalue()[8:] == " chat-1:   load 2.0 s\n"
    assert "\x1b" not in stream.getvalue()


def test_the_end_of_a_start_says_where_and_how_to_try_it() -> None:
    stream = io.StringIO()
    display.PlainDisplay(stream).serving(msgspec.structs.replace(fleet(deployment()), plain="tiny"))
    first, second = stream.getvalue().splitlines()
    assert first == "ready: http://127.0.0.1:8080/v1  model small tiny"
    assert second.startswith("try:   curl http://127.0.0.1:8080/v1/chat/completions -H")
    assert '"model": "tiny"' in second
    assert "authorization" not in second


def test_what_is_tried_has_a_key_where_one_is_needed_and_is_left_out_where_nothing_plain_is() -> (
    None
):
    keyed = msgspec.structs.replace(fleet(deployment()), plain="tiny", keyed=True)
    assert "-H 'authorization: Bearer YOUR-KEY' -d" in display.invitation(keyed)
    assert "curl" not in display.invitation(fleet(deployment()))


def test_a_plain_request_names_a_model_that_needs_nothing_else() -> None:
    root = Path(__file__).parents[2] / "examples"
    assert plain_model(load_fleet(root / "many.yaml").fleet) == "chat"  # `complete`: max_tokens
    assert plain_model(load_fleet(root / "twin.yaml").fleet) == "twin"


def test_a_reader_that_went_away_does_not_stop_the_fleet() -> None:
    class Closed(io.StringIO):
        def write(self, _text: str) -> int:
            raise BrokenPipeError

    display.PlainDisplay(Closed()).show(event("note", "chat", "hello"))


def test_the_table_shows_each_replica_with_its_phases() -> None:
    console = Console(file=io.StringIO(), width=200, record=True)
    console.print(display.table(fleet(deployment(replica(State.STARTING)))))
    text = console.export_text()
    assert "import 8.1, load 2…" in text
    assert "3/16" in text
    assert "0 of 1 ready" in text


def test_a_terminal_gets_words_of_engines_without_markup() -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=200)
    display.TerminalDisplay(console).show(event("crashed", "chat-1", "[bold]x[/wrong] died"))
    assert "[bold]x[/wrong] died" in stream.getvalue()


def test_settled_means_that_every_deployment_serves_or_rests() -> None:
    ready, starting = replica(State.READY), replica(State.STARTING)
    assert fleet(deployment(ready)).settled
    assert not fleet(deployment(starting)).settled
    assert not fleet(deployment(ready), deployment(starting)).settled
    assert fleet(deployment(min=0, desired=0)).settled
    assert not fleet(deployment(starting, min=0, desired=1)).settled
    assert fleet(deployment(ready), deployment(starting, given_up=True)).settled
    assert not fleet(deployment(given_up=True)).settled
    assert not fleet(deployment(ready), gateway=None).settled


@given(st.text())
def test_any_words_of_an_engine_can_be_shown(words: str) -> None:
    stream = io.StringIO()
    display.PlainDisplay(stream).show(event("crashed", "chat-1", words))
    Console(file=io.StringIO(), width=80).print(
        display.table(fleet(deployment(replica(State.READY), why=words)))
    )


def test_a_journal_is_bounded_and_survives_a_disk_that_is_full(tmp_path: Any) -> None:
    journal = Journal(tmp_path / "e.jsonl", limit=200)
    for number in range(50):
        journal.write({"number": number})
    sizes = [path.stat().st_size for path in tmp_path.iterdir()]
    assert len(sizes) == 2
    assert max(sizes) <= 220
    broken = Journal(tmp_path / "none" / "e.jsonl")
    broken.write({})
    assert broken.lost == 1
