"""One machine runs twins of all five engines, each behind the same gateway; of real ones vLLM only."""

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import httpx
import pytest
from test_twin_fleet import Up

from headrace.cli.files import load_checked
from headrace.fleet.types import EngineName
from headrace.local import prepare

NAMES: tuple[EngineName, ...] = get_args(EngineName)
FLEET = """
fleet: five
models: {any: {weights: "file:///nowhere"}}
hardware: {here: {kind: KIND, ttft: 10ms, tpot: 5ms, start: 100ms}}
gateway: {port: 0, admin_port: 0}
deployments:
"""


def write(folder: Path, kind: str) -> Path:
    deployments = "".join(
        f"  {name}-d: {{model: any, hardware: here, max_model_len: 2048, engine: {{name: {name}}},"
        " lifecycle: {startup: 60s, drain: 2s, grace: 5s}}\n"
        for name in NAMES
    )
    routes = "".join(f"  {n}: {{match: {{model: [{n}]}}, deployment: {n}-d}}\n" for n in NAMES)
    path = folder / "fleet.yaml"
    path.write_text(FLEET.replace("KIND", kind) + deployments + "routes:\n" + routes)
    return path


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    up = Up(write(tmp_path, "emulated"), tmp_path)
    try:
        yield up
    finally:
        up.stop()


def test_twins_of_all_five_answer_behind_one_gateway(up: Up) -> None:
    address = up.until(r"^ready: (\S+)")[1]
    for name in NAMES:
        body = {"model": name, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5}
        chat = httpx.post(f"{address}/chat/completions", json=body, timeout=30, trust_env=False)
        assert chat.status_code == 200, chat.text
        assert chat.json()["choices"][0]["message"]["content"]
        stream = {"model": name, "prompt": "1, 2, 3,", "max_tokens": 6, "stream": True}
        answer = httpx.post(f"{address}/completions", json=stream, timeout=30, trust_env=False)
        assert answer.status_code == 200, answer.text
        assert answer.text.rstrip().endswith("[DONE]")
    assert up.stop() == 0


def test_real_ones_beside_vllm_are_refused_on_one_machine(tmp_path: Path) -> None:
    file = load_checked(write(tmp_path, "gpu"))
    found = {path[1]: message for path, message in prepare.engine_findings(file)}
    assert found.keys() == {f"{name}-d" for name in NAMES}
    for name in NAMES[1:]:
        assert found[f"{name}-d"].startswith(f"{name} runs on Kubernetes only")
