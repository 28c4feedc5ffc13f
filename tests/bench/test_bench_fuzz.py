"""A small fuzz run against a real gateway process; `python -m bench.fuzz` is the large one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from bench.fuzz.__main__ import table
from bench.fuzz.engine import read_json
from bench.fuzz.inputs import Maker
from bench.fuzz.replies import BadReplyError, Reply, problems, split
from bench.fuzz.run import run
from bench.fuzz.watch import Sample, leaks

ERROR = b'{"error":{"message":"m","type":"t","param":null,"code":"c"}}'
JSON = {b"content-type": b"application/json", b"x-request-id": b"r"}


def test_two_thousand_inputs_leave_the_gateway_well(tmp_path: Path) -> None:
    outcome = asyncio.run(run(2000, 7, tmp_path, lambda _: None))
    assert outcome.violations == []
    assert outcome.tally.inputs.total() == 2000
    assert outcome.engine_requests > 200
    assert outcome.tally.statuses[400] > 500
    assert "| violations | 0 |" in table(outcome)


def test_the_same_seed_makes_the_same_inputs() -> None:
    first, second, other = (list(Maker(seed, "k").make(300)) for seed in (5, 5, 6))
    assert first == second != other
    assert {one.kind for one in first} >= {"mutated", "lines", "tokens", "chunked", "valid"}


def test_replies_are_read_strictly() -> None:
    plain = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\n{}"
    chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"
    replies, rest = split(plain + chunked + plain[:9])
    assert [(one.status, one.body) for one in replies] == [(400, b"{}"), (200, b"ab")]
    assert rest == plain[:9]
    for bad in (
        b"HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: a\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nabc\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n+2\r\nab\r\n",
    ):
        with pytest.raises(BadReplyError):
            split(bad)


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply(500, JSON, ERROR), "500 c"),
        (Reply(502, JSON, ERROR.replace(b'"c"', b'"upstream_broke"')), "502 upstream_broke"),
        (Reply(400, JSON, b'{"error":{"message":"m"}}'), "not in the shape"),
        (Reply(400, JSON | {b"content-type": b"text/plain"}, ERROR), "content-type"),
        (Reply(401, JSON, ERROR), "www-authenticate"),
        (Reply(200, {b"content-type": b"text/plain"}, b""), "x-request-id"),
        (Reply(200, JSON | {b"content-type": b"text/event-stream"}, b"data: {}\n\n"), "ended"),
    ],
)
def test_bad_replies_are_violations(reply: Reply, words: str) -> None:
    assert words in " ".join(problems(reply))


def test_good_replies_are_none() -> None:
    good = ERROR.replace(b'"c"', b'"too_much_in_flight"')
    assert list(problems(Reply(503, JSON, good))) == []
    assert list(problems(Reply(400, JSON, ERROR))) == []
    assert list(problems(Reply(100, {}, b""))) == []


def test_leaks_are_named() -> None:
    mib = 2**20
    base = Sample(memory=40 * mib, descriptors=20, tasks=3, connections=0, bodies=0, work=0)
    assert leaks(base, base, base) == []
    for change, word in (
        ({"memory": 80 * mib}, "memory"),
        ({"descriptors": 21}, "descriptors"),
        ({"tasks": 4}, "tasks"),
        ({"bodies": 1}, "left behind"),
        ({"work": 1}, "left behind"),
    ):
        last = Sample(**(vars(base) | change))
        assert word in " ".join(leaks(base, base, last))


def test_the_engine_reads_json_as_python_does() -> None:
    assert read_json(b'{"model":"a","model":"b"}') == {"model": "b"}
    assert read_json(b'{"model":5}') is None
    assert read_json(b'{"model":"\xff"}') is None
    assert read_json(b'{"x":%b}' % (b"9" * 5000)) == {"model": "m"}
