"""`headrace request`, `requests` and `compare` on a store whose records are written down here."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from headrace.cli.compare import sides, table
from headrace.cli.requests import line
from headrace.cli.story import seconds, tell
from headrace.gateway.control import Store
from headrace.gateway.history import Figures
from headrace.gateway.records import Record
from headrace.gateway.store import RequestStore
from headrace.local.state import state_dir

EXAMPLE = Path(__file__).parents[2] / "examples" / "laptop.yaml"
FIELDS: dict[str, Any] = {
    "id": "a", "time": "2026-11-23T21:00:00Z", "route": "chat", "model": "m", "deployment": "d",
    "replica": "d-0", "path": "/v1/chat/completions", "stream": True, "status": 200,
    "outcome": "ok", "error": None, "held_s": 0.0, "queued_s": 0.0, "ttft_s": 0.1,
    "duration_s": 1.0, "tpot_s": 0.01, "prompt_tokens": 10, "completion_tokens": 20,
    "tokens_from": "usage", "attempts": 1, "continuations": 0, "bytes": 3, "variant": "d",
}  # fmt: skip
LONG = {
    "id": "req-long", "rule": "model is m", "variant": "d-q8", "why": "weight 5 of 100, by conversation",
    "fallbacks": [{"cause": "cold", "origin": "d-q8"}], "replica": "d-1",
    "choice": "least work, with 512 tokens of the prompt cached",
    "scores": [{"replica": "d-1", "score": 300.4, "cached": 512}, {"replica": "d-10", "score": 1301.0}],
    "held_s": 2.0, "queued_s": 0.04, "retried_s": 0.02, "engine_s": 0.12, "attempts": 2,
    "tried": [
        {"replica": "d-0", "start_s": 2.02, "duration_s": 1.2, "outcome": "upstream_broke"},
        {"replica": "d-1", "start_s": 3.24, "duration_s": 72.0},
    ],
    "continuations": 1, "limits": [{"limit": "10 requests a minute of key team", "enforced": False}],
    "prompt_tokens": 812, "cached_tokens": 512, "completion_tokens": 120, "ttft_s": 2.2,
    "tpot_s": 0.0125, "duration_s": 75.24, "cost": 0.00123, "key": "team", "tenant": "research",
    "conversation": "c0ffee", "priority": "high", "shadow": "d-next",
    "trace": {"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "span_id": "00f067aa0ba902b7"},
}  # fmt: skip
STORY = """\
request    req-long
arrived    2026-11-23 21:00:00.000, a chat completion, streamed, for model m
caller     key team, tenant research, conversation c0ffee, priority high
route      chat: model is m
variant    d-q8: weight 5 of 100, by conversation
fell back  from d-q8 to d: no replica was ready there (cold)
served by  d, replica d-1: least work, with 512 tokens of the prompt cached
             d-1   score 300, 512 tokens of the prompt cached  (chosen)
             d-10  score 1,301
waited     2.0 s until a replica was ready, 40 ms for room on a replica, 20 ms of this after a \
replica had failed, 120 ms in the engine for the first token
tried      d-0 from 2.0 s on, for 1.2 s: upstream_broke
tried      d-1 from 3.2 s on, for 1 min 12 s: answered
attempts   2 replicas; an answer that had begun was continued once
limit      beyond 10 requests a minute of key team: only counted
tokens     812 in (512 of them cached), 120 out, the engine's count
speed      first token after 2.2 s, then 12.5 ms for each (80 tokens/s), 1 min 15 s in all
cost       0.00123
shadow     a copy went to d-next
trace      4bf92f3577b34da6a3ce929d0e0e4736
ended      well, status 200
"""


def record(**more: Any) -> Record:
    return msgspec.convert(FIELDS | more, Record)


@pytest.fixture(autouse=True)
def in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")


# -- words ------------------------------------------------------------------------------------


def test_the_story_of_a_request_that_was_held_spilled_over_and_continued() -> None:
    assert "".join(f"{one}\n" for one in tell(record(**LONG))) == STORY


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, "waited     not at all"),
        ({"replica": None, "outcome": "refused", "error": "queue_full", "status": 429, "shed": True},
         "ended      refused: queue_full, shed for more important requests, status 429"),
        ({"replica": None}, "served by  no replica had it, though d would have"),
        ({"route": None, "deployment": None, "variant": None}, "route      none took it"),
        ({"outcome": "client_gone"}, "ended      the client hung up, status 200"),
        ({"outcome": "upstream_broke", "error": "upstream_broke", "status": 502},
         "ended      badly: upstream_broke, status 502"),
        ({"shadow_of": "b"}, "shadow     a copy of b; nobody got its answer"),
        ({"limits": [{"limit": "2 at once", "enforced": True}]},
         "limit      beyond 2 at once: refused for that"),
        ({"tokens_from": "events", "prompt_tokens": None}, "tokens     20 out, counted by events"),
        ({"answer": "Hello.\nBye."}, "\nanswer:\nHello.\nBye."),
    ],
)  # fmt: skip
def test_what_else_a_story_says(more: dict[str, Any], expected: str) -> None:
    assert expected in list(tell(record(**more)))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "0 ms"),
        (0.0124, "12 ms"),
        (0.9996, "1.0 s"),
        (3.44, "3.4 s"),
        (59.96, "1 min 0 s"),
        (310, "5 min 10 s"),
        (119.7, "2 min 0 s"),
    ],
)
def test_times_as_people_write_them(value: float, expected: str) -> None:
    assert seconds(value) == expected


LONGEST = {
    "id": "x" * 90, "route": "r" * 60, "replica": "d" * 60, "outcome": "e" * 40,
    "held_s": 3599.0, "ttft_s": 3599.0, "duration_s": 3599.0,
    "prompt_tokens": 1_048_576, "completion_tokens": 131_072,
}  # fmt: skip


@pytest.mark.parametrize(("columns", "more"), [(80, LONGEST), (100, LONG), (120, LONGEST)])
def test_a_row_fits_in_the_terminal(
    monkeypatch: pytest.MonkeyPatch, columns: int, more: dict[str, Any]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    assert columns - 25 < len(line(record(**more))) <= columns


def test_a_row_says_why_a_request_was_refused() -> None:
    row = line(record(id="i", replica=None, outcome="refused", error="queue_full", ttft_s=None))
    assert row.split() == ["21:00:01", "i", "chat", "d", "queue_full", "0ms", "-", "1.0s", "10/20"]


# -- comparing --------------------------------------------------------------------------------


def figures(variant: str, **more: Any) -> Figures:
    given = {"shadow": False, "deployment": variant, "outcome": "ok", "ttft_s": 0.1, "tpot_s": 0.01,
             "prompt_tokens": 1, "completion_tokens": 2, "cost": None}  # fmt: skip
    return Figures(variant=variant, **given | more)  # type: ignore[arg-type]  # fields of many types


def test_a_canary_is_judged_by_what_it_was_given() -> None:
    new, old = sides(
        [
            *(figures("old", ttft_s=n / 100) for n in range(1, 101)),
            figures("new", ttft_s=1.0, cost=0.5),
            figures("new", outcome="upstream_broke", ttft_s=None, cost=None),
            figures("new", deployment="old", ttft_s=9.0, cost=9.0),
            figures("new", deployment=None, outcome="refused", ttft_s=None),
            figures("new", outcome="client_gone", ttft_s=2.0, cost=1.5),
        ]
    )
    assert (old.ttft_p50, old.ttft_p95) == (pytest.approx(0.505), pytest.approx(0.9505))
    assert (old.requests, old.errors, old.elsewhere, old.cost) == (100, 0, 0, None)
    assert (new.requests, new.errors, new.refused, new.elsewhere) == (5, 1, 1, 1)
    assert (new.ttft_p50, new.ttft_p95, new.cost) == (1.5, pytest.approx(1.95), 1.0)


def test_a_shadow_stands_apart_from_the_variant_of_its_name() -> None:
    found = sides([figures("d", shadow=True), figures("d"), figures("c")])
    assert [(one.variant, one.shadow) for one in found] == [("c", False), ("d", False), ("d", True)]


def test_slow_variants_have_columns_that_can_be_told_apart() -> None:
    slow = [figures("one", ttft_s=62.707, tpot_s=at) for at in (*[0.0665] * 11, *[0.1518] * 10)]
    fast = [figures("two", ttft_s=0.05, tpot_s=at) for at in (*[0.0066] * 11, *[0.0999] * 10)]
    *_, first, second = table(sides(slow + fast))
    assert first.split() == ["one", "21", "0.0%", "0", "0", "62707/62707", "66/152", "2", "-"]
    assert second.split()[-3] == "6.6/99.9"


# -- verbs ------------------------------------------------------------------------------------

Verb = Callable[..., subprocess.CompletedProcess[str]]


def ended(ago: float, **more: Any) -> Record:
    made = record(**more)
    began = datetime.now(UTC) - timedelta(seconds=ago + made.duration_s)
    return msgspec.structs.replace(made, time=began)


@pytest.fixture
def store(tmp_path: Path) -> RequestStore:
    state = state_dir("laptop", EXAMPLE, tmp_path)
    state.path.mkdir()
    made = RequestStore(Store(path=str(state.requests)), print)
    made.write(
        [
            ended(7000, id="old-1"),
            ended(500, id="new-1", ttft_s=3.0),
            ended(400, id="new-2", outcome="upstream_broke", error="upstream_broke"),
            ended(300, id="new-3", variant="e", deployment="e", replica="e-0", shadow="d"),
            ended(299, id="new-3-copy", shadow_of="new-3"),
        ]
    )
    return made


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "headrace", *arguments]


def environment(state: Path) -> dict[str, str]:
    return os.environ | {"HEADRACE_STATE": str(state), "TZ": "UTC"}


@pytest.fixture
def headrace(tmp_path: Path, store: RequestStore) -> Verb:  # noqa: ARG001  filled before a verb looks
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(*arguments), env=environment(tmp_path), capture_output=True, text=True,
            check=False, timeout=60,
        )  # fmt: skip

    return run


def test_request_tells_of_a_request_and_its_copy(headrace: Verb) -> None:
    done = headrace("request", "new-3")
    assert [row for row in done.stdout.split("\n") if row.startswith(("request", "shadow"))] == [
        "request    new-3", "shadow     a copy went to d",
        "request    new-3-copy", "shadow     a copy of new-3; nobody got its answer",
    ]  # fmt: skip
    lines = headrace("request", "new-3", "--json").stdout.splitlines()
    assert [json.loads(one)["id"] for one in lines] == ["new-3", "new-3-copy"]


def test_request_of_an_unknown_id_says_where_it_looked(headrace: Verb, tmp_path: Path) -> None:
    done = headrace("request", "nothing")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"headrace: no request 'nothing' in the records under {tmp_path}")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], ["old-1", "new-1", "new-2", "new-3"]),
        (["--since", "10m"], ["new-1", "new-2", "new-3"]),
        (["--errors"], ["new-2"]),
        (["--slow", "--limit", "1"], ["new-1"]),
        (["--deployment", "e"], ["new-3"]),
        (["--shadow"], ["new-3-copy"]),
    ],
)
def test_requests_lists_what_is_asked_for(
    headrace: Verb, options: list[str], expected: list[str]
) -> None:
    head, *rows = headrace("requests", str(EXAMPLE), *options).stdout.splitlines()
    assert head.split()[:2] == ["ended", "request"]
    assert [row.split()[1] for row in rows] == expected
    assert re.match(r"\d\d:\d\d:\d\d ", rows[0])


def test_requests_as_json_has_all_there_is(headrace: Verb) -> None:
    lines = headrace("requests", str(EXAMPLE), "--json", "--errors").stdout.splitlines()
    assert [json.loads(one)["error"] for one in lines] == ["upstream_broke"]


def test_a_duration_without_a_unit_is_refused_in_words(headrace: Verb) -> None:
    done = headrace("requests", str(EXAMPLE), "--since", "10")
    assert done.returncode == 1
    assert done.stderr.startswith("headrace: --since 10: expected a duration with its unit")


def test_following_shows_new_requests_until_it_is_interrupted(
    store: RequestStore, tmp_path: Path
) -> None:
    following = subprocess.Popen(
        command("requests", str(EXAMPLE), "--follow", "--limit", "1", "--json"),
        env=environment(tmp_path) | {"PYTHONUNBUFFERED": "1"}, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    patience = threading.Timer(30, following.kill)  # then `readline` returns
    patience.start()
    assert following.stdout is not None
    assert json.loads(following.stdout.readline())["id"] == "new-3"
    store.write([ended(0, id="next-1"), ended(0, id="next-2")])
    assert [json.loads(following.stdout.readline())["id"] for _ in range(2)] == ["next-1", "next-2"]
    following.send_signal(signal.SIGINT)
    assert "Traceback" not in following.communicate()[1]
    assert following.returncode == 130
    patience.cancel()


def test_compare_shows_a_row_for_each_variant_and_the_shadow(headrace: Verb) -> None:
    units, head, *rows = headrace("compare", "chat", "-f", str(EXAMPLE)).stdout.splitlines()
    assert max(map(len, (units, head, *rows))) <= 80
    assert head.split()[:3] == ["variant", "requests", "errors"]
    assert [row.split()[:3] for row in rows] == [
        ["d", "2", "50.0%"],
        ["e", "1", "0.0%"],
        ["d", "(shadow)", "1"],
    ]
    lines = headrace("compare", "chat", "-f", str(EXAMPLE), "--since", "1d", "--json").stdout
    assert json.loads(lines.splitlines()[0])["requests"] == 3


def test_compare_without_requests_says_so(headrace: Verb) -> None:
    done = headrace("compare", "nowhere", "-f", str(EXAMPLE))
    assert (done.returncode, done.stderr) == (
        1, "headrace: route 'nowhere' had no request in the last 1h; see --since\n",
    )  # fmt: skip
