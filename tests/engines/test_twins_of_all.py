"""What each engine's file claims, against a running twin: paths, metrics, the known prompt, SIGTERM."""

import json
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import httpx
import pytest
from container_kit import SPOT, deployment

from headrace.engines.base import Placement
from headrace.engines.emulated import Emulated
from headrace.engines.known_prompt import judge, probe_request
from headrace.engines.metrics import read_metrics
from headrace.engines.named import engine_named
from headrace.fleet.types import ENGINE_VERSIONS, EngineName, Hardware

HARDWARE = Hardware.model_validate(
    {"kind": "emulated", "ttft": "1ms", "tpot": "20ms", "start": "0s"}
)


class Running:
    """A twin, started as a fleet on one machine starts it."""

    def __init__(self, name: EngineName) -> None:
        self.engine = Emulated(engine_named(name, ENGINE_VERSIONS[name]))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        nowhere = Path("/nowhere")
        place = Placement(nowhere, nowhere, ("chat",), "127.0.0.1", port, (0,))
        launch = self.engine.launch(deployment(engine={"name": name}), HARDWARE, place)
        self.process = subprocess.Popen(launch.argv, stdout=subprocess.PIPE, text=True)
        self.base = f"http://127.0.0.1:{port}"
        fresh = httpx.Limits(max_keepalive_connections=0)
        self.client = httpx.Client(base_url=self.base, limits=fresh, timeout=60, trust_env=False)
        assert self.process.stdout is not None
        self.phases: list[str] = []
        for line in self.process.stdout:
            if phase := self.engine.phase(line):
                self.phases.append(phase)
            if self.phases[-1:] == ["serve"]:
                return
        raise AssertionError(f"it ended with {self.process.wait()}")

    def alive(self) -> bool:
        """Whether a new connection is told that it is alive."""
        try:
            return self.client.get(self.engine.health_path).status_code == 200
        except httpx.HTTPError:
            return False

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.client.close()
        self.process.wait()


@pytest.fixture(params=get_args(EngineName))
def running(request: pytest.FixtureRequest) -> Iterator[Running]:
    running = Running(request.param)
    try:
        yield running
    finally:
        running.end()


def test_a_twin_is_where_and_what_its_engines_file_says(running: Running) -> None:
    assert running.phases[0] in {"import", "load"}
    assert running.alive()
    path, body = probe_request(None, "chat")
    assert judge(None, running.client.post(path, json=body).json()) is None
    page = running.client.get(running.engine.metrics_path).text
    sources = running.engine.metric_sources()
    found = read_metrics(page, sources)
    assert [name for name in sources if found[name] is None] == []
    assert found["success"] is not None
    assert found["success"].value >= 1


def test_sigterm_does_what_the_file_says(running: Running) -> None:
    engine = running.engine
    drain = engine.container(deployment(engine={"name": engine.name}), HARDWARE, SPOT).drain
    path = "/v1/completions"
    body: dict[str, object] = {"model": "chat", "prompt": "Tell.", "max_tokens": 60}
    undisturbed = running.client.post(path, json=body).json()["choices"][0]["text"]
    with running.client.stream("POST", path, json=body | {"stream": True}) as answer:
        lines = (line.removeprefix("data:").strip() for line in answer.iter_lines() if line)
        said = [next(lines)]
        running.process.send_signal(signal.SIGTERM)
        said += [next(lines) for _ in range(10)]  # a fifth of a second later
        assert running.alive() is not drain.tells
        said += lines
    assert drain.inside
    events = [json.loads(line) for line in said if line != "[DONE]"]
    assert "".join(c["text"] for event in events for c in event["choices"]) == undisturbed
    assert said[-1] == "[DONE]"
