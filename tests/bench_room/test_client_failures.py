"""Endpoints that lie, hang, reset or answer rubbish are measured as such, each by its kind."""

from __future__ import annotations

import resource
import socket
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from scripted_kit import DONE, HEAD, Call, answers, ask, delta, event, one, serving, token, usage

from headrace.bench.answers import Failure
from headrace.bench.load import Load
from headrace.bench.measure import measure
from headrace.bench.target import Target

WHOLE = (token("a"), token("b", "length"), usage(3, 2))
IMPATIENT = Load(concurrency=1, patience=0.2)


def says(*events: bytes, done: bool = True) -> Callable[[Call], Awaitable[None]]:
    return lambda call: call.stream(*events, done=done)


def sends(data: bytes, then: str = "close") -> Callable[[Call], Awaitable[None]]:
    async def script(call: Call) -> None:
        await call.raw(data)
        getattr(call, then)()

    return script


def plain(status: str, body: bytes, *headers: str) -> bytes:
    lines = (f"HTTP/1.1 {status}", f"content-length: {len(body)}", *headers, "", "")
    return "\r\n".join(lines).encode() + body


def chunked(*chunks: bytes) -> bytes:
    return HEAD + b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in chunks)


ERROR = event({"error": {"message": "the engine died", "code": 500}})
ODD = [
    (says(*WHOLE), None, ""),
    (sends(plain("404 Not Found", b'{"error": {"message": "no such model"}}')), Failure.REFUSED, "404: no such model"),
    (sends(plain("503 Service Unavailable", b"<html>busy</html>")), Failure.REFUSED, "503: <html>busy</html>"),
    (sends(plain("501 Unsupported", b"<!DOCTYPE html>", "content-type: text/html;charset=utf-8")), Failure.REFUSED, "501: a page of HTML came"),
    (sends(plain("429 Too Many Requests", b"")), Failure.REFUSED, "429: nothing said"),
    (says(token("a"), ERROR), Failure.ERROR, "the engine died"),
    (says(ERROR), Failure.ERROR, "the engine died"),
    (says(event({"object": "error", "message": "out of memory"})), Failure.ERROR, "out of memory"),
    (says(token("a"), token("", "error")), Failure.ERROR, "finish reason error"),
    (sends(chunked(*WHOLE), "reset"), Failure.RESET, "ConnectionResetError"),
    (sends(chunked(WHOLE[0])), Failure.RESET, "closed before the end"),
    (sends(b""), Failure.RESET, "closed without an answer"),
    (says(*WHOLE, done=False), Failure.CUT, "ended without [DONE]"),
    (says(token("a"), token("b")), Failure.CUT, "ended without a finish reason"),
    (says(token("a"), token("", "abort")), Failure.CUT, "finish reason abort"),
    (sends(b"SSH-2.0-OpenSSH_9.6\r\n"), Failure.RUBBISH, "not HTTP"),
    (sends(chunked(token("a")) + b"zz\r\nwhat\r\n"), Failure.RUBBISH, "not HTTP"),
    (sends(plain("200 OK", b'{"choices": []}', "content-type: application/json")), Failure.RUBBISH, "application/json came"),
    (sends(plain("302 Found", b"", "location: /")), Failure.RUBBISH, "302"),
    (says(b"data: {broken\n\n"), Failure.RUBBISH, "no event"),
    (says(b"data: hello\n\n"), Failure.RUBBISH, "no JSON object"),
    (says(b'data: {"choices": "none"}\n\n'), Failure.RUBBISH, "no event"),
    (says(b'data: {"choices": [], "usage": {"completion_tokens": "many"}}\n\n'), Failure.RUBBISH, "no event"),
    (says(b'data: {"choices": [{"text": "\xff"}]}\n\n'), Failure.RUBBISH, "no event"),
    (says(*WHOLE, DONE, token("more")), Failure.RUBBISH, "an event after [DONE]"),
    (says(token("", "length"), usage(3, 0)), Failure.EMPTY, "no token came"),
    (sends(HEAD.replace(b"\r\n\r\n", b"\r\ncontent-encoding: gzip\r\n\r\n") + b"4\r\n\x1f\x8b\x08\x00\r\n"), Failure.RUBBISH, "compressed (gzip)"),
    (sends(b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"), Failure.RUBBISH, "another protocol"),
]  # fmt: skip


@pytest.mark.parametrize(("script", "failure", "detail"), ODD)
async def test_each_kind_of_end(
    script: Callable[[Call], Awaitable[None]], failure: Failure | None, detail: str
) -> None:
    answer = await one(script)
    assert answer.failure == failure
    assert detail in answer.detail
    assert len(answer.detail) <= 200
    assert answer.sent <= answer.ended


async def test_who_is_not_there_is_unreachable() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
        (answer,) = await answers(address, [ask()])
    assert answer.failure is Failure.UNREACHABLE
    assert answer.status is None


@pytest.fixture
def few_files() -> Iterator[None]:
    """Leave this process room for some 25 more files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (len(list(Path("/proc/self/fd").iterdir())) + 25, hard)
    )
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("few_files")
async def test_a_machine_that_has_no_more_connections_is_not_the_servers_failure() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=100) as server:  # which never answers
        address = f"http://127.0.0.1:{server.getsockname()[1]}/v1"
        target = Target(address=address, model="m", chat=False)
        asks = [ask(n, at=0.0) for n in range(40)]
        run = await measure(target, asks, Load(workers=0, patience=0.2), lambda _: None)
    assert {one.failure for one in run.answers} == {Failure.UNREACHABLE, Failure.SILENT}
    (trouble,) = run.about.trouble
    assert (
        trouble
        == "a request had no connection for a reason of the client's own: Too many open files"
    )


async def test_a_name_that_nobody_knows_is_unreachable() -> None:
    (answer,) = await answers("http://nobody.invalid/v1", [ask()])
    assert answer.failure is Failure.UNREACHABLE
    assert "nobody.invalid" in answer.detail


async def test_a_stream_that_hangs_is_silent_after_the_patience() -> None:
    async def hangs(call: Call) -> None:
        await call.raw(chunked(token("a")))

    answer = await one(hangs, IMPATIENT)
    assert answer.failure is Failure.SILENT
    assert 0.2 <= answer.ended - (answer.first or 0.0) < 2.0
    assert answer.output_tokens == 1


async def test_a_whole_answer_whose_connection_stays_open_is_whole() -> None:
    async def lingers(call: Call) -> None:
        await call.raw(chunked(*WHOLE, DONE))

    answer = await one(lingers, IMPATIENT)
    assert answer.failure is None
    assert answer.ended - answer.sent < 0.2, "it was over when [DONE] came"


@pytest.mark.parametrize(
    ("begin", "more", "detail"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"x-%07d: y\r\n", "a head of more than"),
        (
            b"HTTP/1.1 100 Continue\r\n\r\n",
            b"HTTP/1.1 103 Hints %04d\r\n\r\n",
            "a head of more than",
        ),
        (HEAD + b"fffffff\r\ndata: ", b"endless %d ", "an event of more than"),
    ],
)
async def test_what_never_ends_is_ended(begin: bytes, more: bytes, detail: str) -> None:
    sent = 0

    async def endless(call: Call) -> None:
        nonlocal sent
        await call.raw(begin)
        while sent < 1 << 24:
            piece = b"".join(more % number for number in range(1000))
            await call.raw(piece)
            sent += len(piece)

    answer = await one(endless)
    assert answer.failure is Failure.RUBBISH
    assert detail in answer.detail
    assert sent < 1 << 23


async def test_a_body_of_gigabytes_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.bench.reply._LONGEST", 1 << 20)

    async def large(call: Call) -> None:
        await call.raw(HEAD.replace(b"text/event-stream", b"text/plain"))
        while True:
            await call.chunk(b"x" * 65536)

    answer = await one(large)
    assert answer.failure is Failure.RUBBISH
    assert "an answer of more than" in answer.detail


async def test_a_usage_that_contradicts_the_events_is_not_believed() -> None:
    too_few = await one(says(token("a"), token("b"), token("c", "length"), usage(3, 1)))
    assert (too_few.output_tokens, too_few.tokens_from) == (3, "events")
    assert too_few.detail == "usage says 1 tokens, and 3 events came"
    too_many = await one(says(token("a"), token("b", "length"), usage(3, 9999)))
    assert (too_many.output_tokens, too_many.tokens_from) == (2, "events")
    several_in_one = await one(says(token("a b c d"), token(" e", "length"), usage(3, 8)))
    assert (several_in_one.output_tokens, several_in_one.tokens_from) == (8, "usage")


async def test_a_kept_connection_that_was_just_closed_is_no_failure() -> None:
    async def once(call: Call) -> None:
        await call.stream(*WHOLE)
        call.close()

    async with serving(once) as (address, calls):
        found = await answers(address, [ask(0), ask(1), ask(2)])
    assert [answer.failure for answer in found] == [None, None, None]
    assert len(calls) == 3


async def test_one_that_closes_on_every_request_fails_every_request() -> None:
    first = True

    async def then_never(call: Call) -> None:
        nonlocal first
        if first:
            first = False
            await call.stream(*WHOLE)
        else:
            call.close()

    async with serving(then_never) as (address, calls):
        found = await answers(address, [ask(0), ask(1)])
    assert [answer.failure for answer in found] == [None, Failure.RESET]
    assert len(calls) == 3, "tried once more over a new connection, and not again"


async def test_a_chat_of_reasoning_and_tool_calls_has_tokens() -> None:
    called = [{"index": 0, "function": {"name": "find", "arguments": "{"}}]
    answer = await one(
        says(
            delta(role="assistant", content=""),
            delta(reasoning_content="hm"),
            delta(tool_calls=called),
            delta("stop"),
            usage(3, 3, cached=2),
        ),
        Load(concurrency=1, keep_texts=True),
        chat=True,
    )
    assert answer.failure is None
    assert answer.text == "hmfind{"
    assert len(answer.gaps) == 2, "one to the call, one to the finish reason"
    assert (answer.prompt_tokens, answer.cached_tokens, answer.output_tokens) == (3, 2, 3)
