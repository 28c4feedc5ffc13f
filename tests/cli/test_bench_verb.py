"""`headrace bench` as a person meets it: a run from end to end, Ctrl-C, and what is refused."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from headrace.bench.answers import Failure
from headrace.bench.doubt import Severity
from headrace.bench.folder import read
from headrace.bench.summary import summarise
from headrace.bench.validity import judge
from headrace.cli.main import app
from headrace.emulation.behaviour import Behaviour
from headrace.emulation.engine import TwinEngine
from headrace.emulation.faces import FACES
from headrace.emulation.http import Server

KEY = "sk-hidden-1"


@dataclass(frozen=True)
class Bench:
    """Runs the verb in a folder of its own."""

    folder: Path
    url: str

    def start(self, *words: str) -> subprocess.Popen[str]:
        environ = {name: value for name, value in os.environ.items() if not name.endswith("_KEY")}
        environ |= {
            "HEADRACE_STATE": str(self.folder / "state"),
            "OPENAI_API_KEY": KEY,
            "COLUMNS": "120",
        }
        return subprocess.Popen(
            [sys.executable, "-m", "headrace", "bench", *words],
            cwd=self.folder, env=environ, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def run(self, *words: str) -> tuple[int, str, str]:
        process = self.start(*words)
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err

    def load(self, *words: str) -> tuple[int, str, str]:
        return self.run("--url", self.url, "-m", "m", *words)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Serve a twin of vLLM in a thread: 20 ms to the first token, 2 ms for each further one."""
    loop = asyncio.new_event_loop()
    server = Server()
    face = FACES["vllm"](
        TwinEngine(
            Behaviour(version="0.32.0", names=("m",), ttft=0.02, tpot=0.002, metrics_port=None),
            list[int]().append,
        )
    )
    port = loop.run_until_complete(face.listen(server, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield f"http://127.0.0.1:{port}/v1"
    asyncio.run_coroutine_threadsafe(server.close(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture
def bench(tmp_path: Path, url: str) -> Bench:
    return Bench(tmp_path, url)


def expected(folder: Path) -> int:
    """Return the status of a run in which all was answered: a busy machine may make it late."""
    run = read(folder)
    severities = {doubt.severity for doubt in judge(run, summarise(run))}
    return int(Severity.WORTHLESS in severities)


def test_a_run_its_report_and_its_comparison_with_itself(bench: Bench) -> None:
    metrics = bench.url.replace("/v1", "/metrics")
    words = ("-c", "4", "-n", "24", "--shape", "64:16", "--warmup", "4", "--slo", "ttft=5s,tpot=1s")
    status, out, err = bench.load(*words, "--metrics", f"gpu0={metrics}", "-o", "run", "--json")
    assert status == expected(bench.folder / "run")
    assert "20 whole answers" in err
    run = read(bench.folder / "run")
    assert [answer.number for answer in run.answers] == list(range(24))
    assert [answer.warmup for answer in run.answers] == [True] * 4 + [False] * 20
    assert all(answer.output_tokens == 16 and answer.prompt_tokens == 64 for answer in run.answers)
    assert (run.about.slo, run.about.load["concurrency"]) == ({"ttft": 5.0, "tpot": 1.0}, 4)
    engine = [one for one in run.samples if one.source == "engine:gpu0"]
    asked = engine[-1].values["generation_tokens"] - engine[0].values["generation_tokens"]
    assert asked == 24 * 16, "the engine counts what the client counts"
    summary = json.loads(out)
    assert summary["counts"]["whole"] == 20
    assert json.loads((bench.folder / "run" / "summary.json").read_text()) == summary
    assert "<svg" in (bench.folder / "run" / "report.html").read_text()
    for file in (bench.folder / "run").iterdir():
        assert KEY not in file.read_text(), file

    (bench.folder / "run" / "report.html").unlink()
    with (bench.folder / "run" / "requests.jsonl").open("a") as lines:
        lines.write("{broken\n")
    status, out, err = bench.run("report", "run")
    assert status == 0
    assert "20 whole answers" in out
    assert re.search(r"left out: run/requests.jsonl:25: ", err)
    assert (bench.folder / "run" / "report.html").exists()

    status, out, _ = bench.run("compare", "run", "run")
    assert (status, "No figure differs by more than chance" in out) == (0, True)


def test_the_first_ctrl_c_ends_a_run_with_what_it_has(bench: Bench) -> None:
    process = bench.start(
        "--url",
        bench.url,
        "-m",
        "m",
        "-a",
        "constant:20",
        "--duration",
        "60s",
        "--shape",
        "64:400",
        "-o",
        "run",
    )
    while not (lines := bench.folder / "run" / "requests.jsonl").exists() or not lines.read_bytes():
        assert process.poll() is None
        time.sleep(0.02)  # of looking
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "ended early" in out
    run = read(bench.folder / "run")
    assert run.about.interrupted
    stopped = [answer for answer in run.answers if answer.failure is Failure.STOPPED]
    whole = [answer for answer in run.answers if answer.failure is None]
    assert stopped
    assert whole
    assert len(stopped) + len(whole) == len(run.answers)
    assert (bench.folder / "run" / "report.html").exists()


def test_what_kills_it_leaves_the_answers_that_came(bench: Bench) -> None:
    process = bench.start(
        "--url",
        bench.url,
        "-m",
        "m",
        "-a",
        "constant:20",
        "--duration",
        "60s",
        "--shape",
        "64:4",
        "-o",
        "run",
    )
    while not (lines := bench.folder / "run" / "requests.jsonl").exists() or not lines.read_bytes():
        assert process.poll() is None
        time.sleep(0.02)  # of looking
    process.kill()
    process.communicate(timeout=120)
    run = read(bench.folder / "run")
    assert run.answers
    assert run.about.interrupted
    assert bench.run("report", "run")[0] == 0


def test_a_closed_loop_for_a_time_ends_when_it_is_over(bench: Bench) -> None:
    status, _, err = bench.load("-c", "2", "--duration", "1s", "--shape", "64:16", "-o", "run")
    assert (status, err) == (expected(bench.folder / "run"), "")
    run = read(bench.folder / "run")
    assert 1.0 <= run.about.seconds < 30.0
    assert max(answer.due for answer in run.answers) < 1.0


def test_a_replay_says_how_long_it_takes(bench: Bench) -> None:
    line = {"input_length": 40, "output_length": 2, "hash_ids": [1]}
    lines = [json.dumps({"timestamp": at, **line}) for at in (0, 4000)]  # ms
    (bench.folder / "trace.jsonl").write_text("\n".join(lines))
    words = ("--trace", "trace.jsonl", "--time-scale", "0.1", "-o", "run")
    assert "the last is due after 400 ms; --time-scale" in bench.load(*words)[1]


def test_who_refuses_ignore_eos_is_asked_without_it(bench: Bench) -> None:
    """What OpenAI's own service does with a field that it does not know."""

    async def strict(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        size = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        fields = json.loads(await reader.readexactly(size))
        if "ignore_eos" in fields:
            body = b'{"error": {"message": "Unrecognized request argument supplied: ignore_eos"}}'
            writer.write(
                b"HTTP/1.1 400 Bad Request\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
            )
        else:
            usage = b'{"choices": [], "usage": {"prompt_tokens": 64, "completion_tokens": 1}}'
            body = b'data: {"choices": [{"delta": {"content": "a"}, "finish_reason": "stop"}]}\n\n'
            body += b"data: %b\n\ndata: [DONE]\n\n" % usage
            writer.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: %d\r\n\r\n%b"
                % (len(body), body)
            )
        await writer.drain()
        writer.close()

    async def run() -> tuple[str, str]:
        server = await asyncio.start_server(strict, "127.0.0.1", 0)
        async with server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
            process = bench.start("--url", url, "-m", "m", "-c", "1", "-n", "3", "-o", "run")
            return await asyncio.to_thread(process.communicate, timeout=120)

    out, _ = asyncio.run(run())
    assert "takes no ignore_eos" in out
    found = read(bench.folder / "run")
    assert [answer.failure for answer in found.answers] == [None] * 3
    assert found.about.load["exact_length"] is False


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("--url", "localhost", "-m", "m"), 2, "is no address"),
        (("--url", "http://h/v1"), 2, "--url needs --model"),
        (("--url", "http://h/v1?version=1", "-m", "m"), 2, "has more than a path"),
        (("--url", "http://h/v1", "-m", "m", "--file", "gone"), 2, "'gone' does not exist"),
        (("--url", "http://h/v1", "-m", "m", "--trace", "."), 2, "is a directory"),
        (("-a", "5", "-c", "5"), 2, "open loop"),
        (("--export", "x.jsonl", "-o", "x"), 2, "--export sends nothing"),
        (("--slo", "ttfb=1s"), 2, "promises are ttft, tpot, e2e"),
        (("--warmup", "soon"), 2, "expected a duration"),
        (("--patience", "0s"), 2, "more than nothing"),
        (("--shape", "x"), 2, "shape x"),
        (("fleet.yaml", "--url", "http://h/v1"), 2, "not both"),
        ((), 1, "no fleet is up; start one with `headrace up FILE`"),
        (("--url", "http://127.0.0.1:1/v1", "-m", "m"), 1, "the first request failed (unreachable: Connection refused)"),
        (("report", "."), 1, "holds no run: run.json: No such file"),
        (("compare", ".", "."), 1, "holds no run"),
    ],
)  # fmt: skip
def test_what_is_refused_and_how(
    bench: Bench,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    status: int,
    said: str,
) -> None:
    monkeypatch.chdir(bench.folder)
    monkeypatch.setenv("HEADRACE_STATE", str(bench.folder / "state"))
    found = CliRunner().invoke(app, ["bench", *words], env={"COLUMNS": "120"})
    assert found.exit_code == status
    shown = found.stderr if isinstance(found.exception, SystemExit) else str(found.exception)
    assert said in " ".join(re.sub(r"[│╭╰─╮╯]", " ", shown).split())
    assert not (bench.folder / "bench-results").exists()


def test_prompts_for_another_client_are_written_and_none_is_sent(bench: Bench) -> None:
    def asked() -> float:
        page = httpx.get(bench.url.replace("/v1", "/metrics"), trust_env=False).text
        return sum(
            float(n)
            for n in re.findall(r"^vllm:request_success_total\{.*\} (.*)$", page, re.MULTILINE)
        )

    before = asked()
    words = ("-n", "7", "--shape", "64:16", "--export")
    status, out, err = bench.load(*words, "prompts.jsonl")
    assert (status, err) == (0, "")
    assert "7 prompts are in prompts.jsonl; none was sent" in out
    lines = [json.loads(one) for one in (bench.folder / "prompts.jsonl").read_text().splitlines()]
    assert [one["output_tokens"] for one in lines] == [16] * 7
    assert {one["prompt_tokens_count"] for one in lines} == {64}
    assert asked() == before
    assert not (bench.folder / "bench-results").exists()
    status, _, err = bench.load(*words, "gone/prompts.jsonl")
    assert (status, err) == (1, "headrace: gone/prompts.jsonl: No such file or directory\n")


def test_a_model_that_is_not_there_and_a_folder_that_is_used(bench: Bench) -> None:
    status, _, err = bench.run("--url", bench.url, "-m", "other", "-n", "2")
    assert status == 1
    assert "refused: 404" in err
    (bench.folder / "used").mkdir()
    (bench.folder / "used" / "run.json").write_text("{}")
    status, _, err = bench.load("-n", "2", "-o", "used")
    assert (status, "holds a run already" in err) == (1, True)


def test_a_run_whose_requests_mostly_failed_ends_with_1_and_keeps_them(bench: Bench) -> None:
    """The first request is the trial, which is answered; all others are refused."""
    seen: list[bytes] = []

    async def busy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        size = re.search(rb"content-length: (\d+)", head.lower())
        if size:
            await reader.readexactly(int(size[1]))
            seen.append(head)
        if len(seen) == 1 and size:
            body = b'data: {"choices": [{"delta": {"content": "a"}, "finish_reason": "stop"}]}\n\n'
            head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream"
            body += b"data: [DONE]\n\n"
        else:
            head, body = b"HTTP/1.1 503 Busy", b"{}"
        writer.write(b"%b\r\ncontent-length: %d\r\n\r\n%b" % (head, len(body), body))
        await writer.drain()
        writer.close()

    async def run() -> tuple[int, str]:
        server = await asyncio.start_server(busy, "127.0.0.1", 0)
        async with server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
            process = bench.start("--url", url, "-m", "m", "-c", "1", "-n", "5", "-o", "run")
            out, _ = await asyncio.to_thread(process.communicate, timeout=120)
            return process.returncode, out

    status, out = asyncio.run(run())
    assert status == 1, out
    assert len(read(bench.folder / "run").answers) == 5
    assert (bench.folder / "run" / "report.html").exists()


def test_what_cannot_be_kept_is_a_failure(bench: Bench) -> None:
    bench.load("-n", "2", "-o", "kept")
    (bench.folder / "kept" / "report.html").unlink()
    (bench.folder / "kept" / "report.html").mkdir()
    status, out, err = bench.run("report", "kept", "--json")
    assert (status, "no report was kept" in err) == (1, True)
    assert json.loads(out)["counts"]["whole"] == 2
