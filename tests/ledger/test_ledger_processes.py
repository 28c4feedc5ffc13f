"""One ledger and several real processes: exact together, and none is missed when it dies."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from ledger_kit import START, Clock, admitted, granted, start, subject

from headrace.ledger.identity import identity, is_gone
from headrace.ledger.ledger import Ledger
from headrace.ledger.report import read_usage
from headrace.routing.route import Limits


@contextlib.contextmanager
def processes(number: int, *arguments: object) -> Iterator[list[subprocess.Popen[str]]]:
    with contextlib.ExitStack() as stack:
        started = [stack.enter_context(start(*arguments)) for _ in range(number)]
        try:
            yield started
        finally:
            for one in started:
                one.kill()


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def go(process: subprocess.Popen[str], limits: Limits) -> None:
    assert process.stdin is not None
    process.stdin.write(msgspec.json.encode(limits).decode() + "\n")
    process.stdin.flush()


def let_in(path: Path, number: int, times: int, settle: object, limits: Limits) -> list[int]:
    """How many requests each of so many processes got in, all at it at the same time."""
    with processes(number, path, times, settle) as started:
        assert [said(one) for one in started] == ["ready"] * number
        for one in started:
            go(one, limits)
        return [int(said(one)) for one in started]


@pytest.mark.parametrize("number", [2, 4])
@pytest.mark.parametrize(
    ("limits", "settle", "expected"),
    [
        (Limits(requests_per_minute=300), 0, 300),
        (Limits(tokens_per_minute=2000), 0, 200),  # 10 tokens each
        (Limits(concurrency=250), "none", 250),
    ],
)
def test_together_they_let_in_exactly_the_limit(
    tmp_path: Path, number: int, limits: Limits, settle: object, expected: int
) -> None:
    counts = let_in(tmp_path / "usage.db", number, 1000 // number, settle, limits)
    assert sum(counts) == expected


def test_no_answer_is_lost_between_four(tmp_path: Path) -> None:
    """4 x 100 requests of 10 tokens with answers of 7: 6800 tokens and 400 requests are used."""
    path = tmp_path / "usage.db"
    limits = Limits(requests_per_minute=10**6, tokens_per_minute=10**6, concurrency=10**6)
    assert let_in(path, 4, 100, 7, limits) == [100] * 4
    (used,) = read_usage(path, START)
    assert used.requests is not None
    assert used.tokens is not None
    assert used.requests.remaining == 10**6 - 400
    assert used.tokens.remaining == 10**6 - 6800
    assert used.running == 0


def test_what_a_killed_gateway_held_is_free_as_soon_as_it_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "usage.db"
    key = subject(concurrency=5)
    ledger = Ledger(str(path), clock=Clock())
    with processes(1, path, 3, "none") as (other,):
        said(other)
        go(other, Limits(concurrency=5))
        assert said(other) == "3"
        ledger.tick()
        assert admitted(ledger, key, times=5) == 2
        other.kill()
        other.wait()
    ledger.tick()
    assert admitted(ledger, key, times=5) == 3
    ledger.close()


def test_a_gateway_on_another_machine_is_silent_for_some_seconds_first(tmp_path: Path) -> None:
    path, clock = tmp_path / "usage.db", Clock()
    key = subject(concurrency=5)
    here = Ledger(str(path), clock=clock)
    there = Ledger(str(path), "another machine's", clock=clock)
    grants = [granted(there.admit([key], 0, None)) for _ in range(5)]
    clock.now += 4.0
    here.tick()
    assert admitted(here, key, times=1) == 0
    there.tick()  # a sign of life
    clock.now += 4.0
    here.tick()
    assert admitted(here, key, times=1) == 0
    clock.now += 2.0
    here.tick()
    assert admitted(here, key, times=1) == 1
    there.tick()  # it was only slow: what it has counts again
    grants.pop().settle(0, 0)
    assert admitted(here, key, times=9) == 0
    for grant in grants:
        grant.settle(0, 0)
    assert admitted(here, key, times=9) == 4
    here.close()
    there.close()


def test_processes_are_told_apart() -> None:
    me = identity()
    assert identity() != me
    assert not is_gone(me)
    namespace, pid, began, token = me.rsplit("/", 3)
    assert int(pid) == os.getpid()
    assert is_gone(f"{namespace}/{pid}/{int(began) - 1}/{token}")  # the id was used again
    assert not is_gone(f"pid:[1]/{pid}/1/{token}")  # another namespace: who knows
    for strange in ("", "gateway-1", "/", "a/b/c/d"):
        assert not is_gone(strange)
    with subprocess.Popen(["sleep", "60"]) as child:
        theirs = f"{namespace}/{child.pid}"
        stat = Path(f"/proc/{child.pid}/stat").read_text()
        born = stat.rpartition(")")[2].split()[19]
        assert not is_gone(f"{theirs}/{born}/x")
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert is_gone(f"{theirs}/{born}/x")  # dead, though nobody has asked for it yet
