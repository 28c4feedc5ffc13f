"""The model repository that `engines/triton.py` renders, in a real Triton server on this machine's CPU.

The server is 2.51.0 with its Python backend, from a wheel. It has no TensorRT-LLM and no OpenAI front
end: `triton_stub` stands in for the former, and requests are made as the latter makes them.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from headrace.engines.container import Spot
from headrace.engines.environment import requirements
from headrace.engines.metrics import read_metrics
from headrace.engines.triton import Triton
from headrace.engines.triton_repository import ROOT
from headrace.fleet.types import Deployment, Engine, Hardware
from headrace.local.environment import ensure_environment
from headrace.models.cache import cache_root

STUB = Path(__file__).with_name("triton_stub") / "tensorrt_llm"
TRITON = Triton("26.07")
FIELDS = {
    "model": "m",
    "hardware": "h",
    "engine": {"name": "triton"},
    "max_num_seqs": 2,
    "max_model_len": 4096,
}
LONG = 160
"""Tokens of a stream of eight seconds, which has to outlast what is looked at meanwhile."""


@pytest.fixture(scope="session")
def site() -> Path:
    """The packages of the pinned server; installs them if they are not there."""
    wanted = requirements(Engine(name="triton", version="2.51.0"), Hardware(kind="cpu"))
    assert wanted is not None
    python = ensure_environment(wanted, cache_root(), print)
    return next(python.parents[1].glob("lib/python*/site-packages"))


def write_repository(folder: Path) -> None:
    wanted = Deployment.model_validate(FIELDS)
    made = TRITON.container(wanted, Hardware(kind="gpu"), Spot("/weights", ("org/m", "chat")))
    for path, text in made.files.items():
        file = folder / Path(path).relative_to(ROOT)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def link_backend(folder: Path, site: Path) -> None:
    """Make a backend whose models find NumPy and the stub: Triton's Python looks there only."""
    server = site / "pytriton" / "tritonserver"
    python = site.parent.name.removeprefix("python")
    wanted = [
        *(server / "backends" / "python").glob("*.*"),
        server / "python_backend_stubs" / python / "triton_python_backend_stub",
        *(site / name for name in ("numpy", "numpy.libs", "yaml")),
        STUB,
    ]
    folder.mkdir(parents=True)
    for one in wanted:
        (folder / one.name).symlink_to(one)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Running:
    process: subprocess.Popen[bytes]
    log: Path
    client: httpx.Client
    metrics: str

    @property
    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def until(self, running: int, waiting: int) -> None:
        """Wait until the metrics tell so many."""
        end = time.monotonic() + 60
        while (told := self.load()) and (told["running"], told["waiting"]) != (running, waiting):
            assert time.monotonic() < end, told
            time.sleep(0.1)  # of looking

    def refuses(self) -> bool:
        """Whether a new connection is refused, or dropped without an answer."""
        try:
            httpx.get(self.client.base_url.join("/v2/health/ready"), trust_env=False)
        except httpx.TransportError:
            return True
        return False

    def load(self) -> dict[str, float | None]:
        """What the metrics say, by the names of the engine's file."""
        text = httpx.get(self.metrics, trust_env=False, timeout=60).text
        found = read_metrics(text, TRITON.metric_sources())
        return {name: sample.value if sample else None for name, sample in found.items()}


def start(site: Path, folder: Path) -> Running:
    write_repository(folder / "models")
    link_backend(folder / "backends" / "python", site)
    http, metrics = free_port(), free_port()
    command = [
        site / "pytriton" / "tritonserver" / "bin" / "tritonserver",
        *("--model-repository", folder / "models", "--backend-directory", folder / "backends"),
        *("--http-address", "127.0.0.1", "--http-port", str(http), "--allow-grpc", "false"),
        *("--metrics-address", "127.0.0.1", "--metrics-port", str(metrics)),
    ]
    log = folder / "triton.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            env={**os.environ, "LD_LIBRARY_PATH": str(site / "nvidia_pytriton.libs")},
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    base = f"http://127.0.0.1:{http}"
    client = httpx.Client(base_url=base, timeout=60, trust_env=False)
    return Running(process, log, client, f"http://127.0.0.1:{metrics}/metrics")


def wait_ready(running: Running) -> None:
    transport = httpx.HTTPTransport(retries=9)  # two minutes, each pause twice the last
    base = running.client.base_url
    with httpx.Client(base_url=base, transport=transport, timeout=60) as client:
        client.get("/v2/health/ready").raise_for_status()


def end(running: Running) -> None:
    running.client.close()
    if running.process.poll() is None:
        os.killpg(running.process.pid, signal.SIGKILL)
    running.process.wait()


@pytest.fixture
def triton(site: Path, tmp_path: Path) -> Iterator[Running]:
    running = start(site, tmp_path)
    try:
        wait_ready(running)
        yield running
    finally:
        end(running)


def ask(prompt: str, tokens: int, *, stream: bool, **more: Any) -> dict[str, Any]:
    """Return a request as the front end makes it of an OpenAI request."""
    counts = {"return_num_input_tokens": True, "return_num_output_tokens": True}
    return {"text_input": prompt, "max_tokens": tokens, "stream": stream, **counts, **more}


def events(answer: httpx.Response) -> Iterator[dict[str, Any]]:
    for line in answer.iter_lines():
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))


def whole(running: Running, **asked: Any) -> dict[str, Any]:
    answer: dict[str, Any] = running.client.post("/v2/models/chat/generate", json=asked).json()
    return answer


def test_the_repository_is_served_as_the_front_end_needs_it(triton: Running) -> None:
    for path in ("/v2/health/live", "/v2/health/ready", "/v2/models/chat/ready"):
        assert triton.client.get(path).status_code == 200
    given = next(line for line in triton.said.splitlines() if line.startswith("STUB given"))
    assert "('model', '/weights')" in given
    assert "('max_batch_size', 2)" in given
    assert "('max_seq_len', 4096)" in given

    answer = whole(triton, **ask("a b c", 4, stream=False, temperature=0.0, top_p=1.0, seed=7))
    assert answer["text_output"] == "a b c a "
    assert (answer["num_input_tokens"], answer["num_output_tokens"]) == (3, 4)
    stopped = whole(triton, **ask("a b c", 9, stream=False, stop_words=["b"]))
    assert stopped["text_output"] == "a b "
    echo = whole(triton, **ask("a b", 1, stream=False, exclude_input_in_output=False))
    assert echo["text_output"] == "a ba "
    failed = whole(triton, **ask("a FAIL", 9, stream=False))
    assert failed == {"error": "the executor is gone"}

    body = ask("a b c", 5, stream=True)
    with triton.client.stream("POST", "/v2/models/chat/generate_stream", json=body) as answer:
        said = list(events(answer))
    assert [event["text_output"] for event in said] == ["a ", "b ", "c ", "a ", "b "]
    assert {event["num_output_tokens"] for event in said} == {1}
    counted = triton.load()
    assert (counted["running"], counted["waiting"]) == (0, 0)
    assert counted["success"] is not None
    assert counted["success"] >= 4


def test_load_is_told_a_lost_client_is_aborted_and_sigterm_drains(triton: Running) -> None:
    stream = ("POST", "/v2/models/chat/generate_stream")
    with ExitStack() as stack:
        answers = [
            stack.enter_context(triton.client.stream(*stream, json=ask("a b", LONG, stream=True)))
            for _ in range(3)
        ]
        said, taken = [events(one) for one in answers], 1
        for one in said:
            next(one)
        triton.until(running=2, waiting=1)
        answers.pop().close()
        triton.until(running=2, waiting=0)
        assert "STUB aborted" in triton.said

        triton.process.send_signal(signal.SIGTERM)
        while not triton.refuses():
            next(said[0])
            taken += 1
        with ThreadPoolExecutor() as pool:
            rest = list(pool.map(list, said[:2]))
    triton.client.close()  # it waits for idle connections as well, for up to --exit-timeout-secs
    assert triton.process.wait(60) == 0
    assert "STUB shut down" in triton.said
    assert [len(rest[0]) + taken, len(rest[1]) + 1] == [LONG, LONG]
