"""What `headrace diagnose` reads of this machine: records, sockets, processes."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from headrace.diagnosis.observation import Event, Outcome
from headrace.gateway.control import Store
from headrace.gateway.history import Found
from headrace.gateway.records import Attempt, Record
from headrace.gateway.store import RequestStore
from headrace.local.journal import Journal
from headrace.local.observing import _events
from headrace.local.observing_machine import Snapshot, cores_used, machine, snapshot, starved
from headrace.local.observing_records import read_requests, request
from headrace.local.observing_sockets import behind
from headrace.view import events as view

ZERO = datetime(2026, 11, 1, tzinfo=UTC).timestamp()


def record(at: float, **changed: object) -> Record:
    given: dict[str, object] = {
        "id": f"r{at}", "route": "chat", "model": "m", "deployment": "chat", "replica": "chat-1",
        "path": "/v1/completions", "stream": True, "status": 200, "outcome": "ok", "error": None,
        "held_s": 0.1, "queued_s": 0.2, "ttft_s": 0.6, "duration_s": 2.0, "tpot_s": 0.01,
        "prompt_tokens": 9, "completion_tokens": 5, "tokens_from": "usage", "attempts": 1,
        "continuations": 0, "bytes": 3, "engine_s": 0.3, "stalled_s": 0.4,
    }  # fmt: skip
    return Record(time=datetime.fromtimestamp(ZERO + at, UTC), **{**given, **changed})  # type: ignore[arg-type]


def test_a_record_keeps_its_figures() -> None:
    seen = request(record(5.0), ZERO, (1.0, None))
    assert (seen.at, seen.ended, seen.held, seen.queued, seen.engine) == (5.0, 7.0, 0.1, 0.2, 0.3)
    assert (seen.stalled, seen.promised_ttft, seen.promised_tpot) == (0.4, 1.0, None)


def test_events_are_those_of_the_deployment_since_the_fleet_is_up(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "events.jsonl")
    for at, subject in ((-9.0, "chat-2"), (2.0, "chat-1"), (3.0, "other-1")):
        journal.write(
            view.Event(at=ZERO + at, kind="crashed", subject=subject, text="it ended", told=True)
        )
    watched: Any = SimpleNamespace(zero=ZERO, statuses=[SimpleNamespace(since=ZERO - 5.0)])
    assert list(_events(tmp_path / "events.jsonl", watched, "chat")) == [
        Event(at=2.0, kind="crashed", subject="chat-1", text="it ended", told=True)
    ]


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        ("ok", Outcome.OK),
        ("client_gone", Outcome.GONE),
        ("refused", Outcome.REFUSED),
        ("took_too_long", Outcome.TIMEOUT),
        ("upstream_broke", Outcome.FAILED),
        ("something new", Outcome.FAILED),
    ],
)
def test_outcomes(outcome: str, expected: Outcome) -> None:
    assert request(record(0.0, outcome=outcome), ZERO, (None, None)).outcome == expected


def test_replicas_that_a_request_left_are_named_with_the_first_reason() -> None:
    tried = (
        Attempt("chat-1", 0.0, 1.0, "aborted the request"),
        Attempt("chat-2", 1.0, 1.0, "closed the connection"),
        Attempt("chat-3", 2.0, 1.0),
    )
    seen = request(record(0.0, tried=tried), ZERO, (None, None))
    assert (seen.left, seen.error) == (("chat-1", "chat-2"), "aborted the request")


@pytest.mark.parametrize(
    ("fate", "outcome", "away"),
    [
        ("aborted", "aborted the request", True),
        ("moved", "is to be left", True),
        ("broke", "closed the connection", False),
        ("broke", "its error said: is to be left", False),
        (None, "aborted the request", True),  # as older stores have it
        (None, "is to be left", True),
        (None, "reset by peer: connection abort", False),
    ],
)
def test_who_was_sent_away_is_told_by_the_fate_of_the_first_try(
    fate: str | None, outcome: str, away: bool
) -> None:
    tried = (Attempt("chat-1", 0.0, 1.0, outcome, fate=fate), Attempt("chat-2", 1.0, 1.0))
    assert request(record(0.0, tried=tried), ZERO, (None, None)).sent_away is away


def test_a_record_from_before_attempts_had_a_fate_is_read() -> None:
    raw = json.loads(msgspec.json.encode(record(0.0, tried=(Attempt("chat-1", 0.0, 1.0),))))
    del raw["tried"][0]["fate"]
    assert Found(1, json.dumps(raw)).record.tried == (Attempt("chat-1", 0.0, 1.0),)


def test_a_replica_whose_try_was_not_the_last_was_left_whatever_was_said_of_it() -> None:
    tried = (Attempt("chat-2", 0.0, 4.3), Attempt("chat-1", 5.1, 5.2))
    assert request(record(0.0, tried=tried), ZERO, (None, None)).left == ("chat-2",)
    assert request(record(0.0, tried=tried[1:]), ZERO, (None, None)).left == ()


def test_requests_of_now_and_of_before_are_apart(tmp_path: Path) -> None:
    store = RequestStore(Store(path=str(tmp_path / "r.db"), max_age=1e9), print)
    refused = record(4.0, outcome="engine_refused", error="engine_refused")
    other = record(4.0, deployment="other")
    store.write([record(-900.0), record(-50.0), record(-1.0), record(3.0), refused, other])
    store.close()
    now, before = read_requests(tmp_path / "r.db", "chat", ZERO, ZERO - 100, {"chat": (1.0, 2.0)})
    assert sorted(one.at for one in now) == [-1.0, 3.0]  # one ended after zero
    assert [one.at for one in before] == [-50.0]
    assert {one.promised_tpot for one in now} == {2.0}


def test_a_fleet_without_records_yet_has_none(tmp_path: Path) -> None:
    assert read_requests(tmp_path / "none.db", "chat", ZERO, 0.0, {}) == ((), ())


TABLE = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid
   0: 0100007F:1F90 0100007F:A2CF 01 00008000:00000000 00:00000000 00000000     0
   1: 0100007F:1F90 0100007F:A2D0 01 00000010:00000000 00:00000000 00000000     0
   2: 0100007F:1F90 0100007F:A2D1 04 00008000:00000000 00:00000000 00000000     0
   3: 0100007F:1F90 00000000:0000 0A 00008000:00000000 00:00000000 00000000     0
   4: 0100007F:1F91 0100007F:A2D2 01 00008000:00000000 00:00000000 00000000     0
"""


def test_clients_behind_are_those_of_the_port_with_much_untaken(tmp_path: Path) -> None:
    (tmp_path / "tcp").write_text(TABLE)
    assert behind(8080, (tmp_path / "tcp", tmp_path / "none")) == 2
    assert behind(9999, (tmp_path / "tcp",)) == 0
    assert behind(8080, (tmp_path / "none",)) is None


def test_cores_are_divided_among_the_fleet_and_others() -> None:
    names = {1: "init", 10: "headrace", 11: "vllm", 20: "make", 21: "make"}
    below = {10: frozenset({10, 11}), 11: frozenset({11})}
    first = Snapshot(
        100.0,
        {1: 0.0, 10: 1.0, 11: 5.0, 20: 2.0},
        names,
        below,
        {11: (1.0, 1.0)},
        (50.0, 20.0, 1.0),
    )
    last = Snapshot(
        110.0, {1: 0.0, 10: 2.0, 11: 10.0, 20: 6.0, 21: 2.0}, names, below, {11: (7.0, 4.0)},
        (65.0, 22.0, 4.0),
    )  # fmt: skip
    seen = machine(first, last, [10])
    assert seen.others == pytest.approx((15.0 - 6.0) / 10)  # all that was busy, less the fleet's
    assert (seen.idle, seen.stolen) == (pytest.approx(0.2), pytest.approx(0.3))
    assert seen.by is not None
    assert seen.by["make"] == pytest.approx(0.6)
    assert "vllm" not in seen.by
    assert cores_used(first, last, 11) == pytest.approx(0.5)
    assert cores_used(first, last, 99) is None
    assert starved(first, last, 11) == pytest.approx(3.0 / 9.0)
    assert starved(first, last, 99) is None


def test_a_busy_child_is_seen_with_what_it_uses() -> None:
    code = "import time; print(flush=True); b = time.process_time()\nwhile time.process_time() - b < 0.3: pass\nprint(flush=True); input()"
    child = subprocess.Popen(
        [sys.executable, "-S", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert child.stdout is not None
        child.stdout.readline()
        first = snapshot([os.getpid(), child.pid])
        child.stdout.readline()
        last = snapshot([os.getpid(), child.pid])
    finally:
        child.communicate(b"\n")
    used = cores_used(first, last, child.pid)
    assert used is not None
    assert 0.2 <= used * (last.at - first.at) <= 0.5
    assert child.pid in last.below[os.getpid()]
    waited = starved(first, last, child.pid)
    assert waited is not None
    assert 0 <= waited <= 1
