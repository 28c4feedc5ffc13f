"""Five streams through the real processes, without a proxy; nothing about time is asserted."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from bench.contenders import Contender
from bench.measure import Setting, measure
from bench.messages import Job
from bench.plan import Scenario
from bench.processes import ROOT, MeasureError, divide, running

ANY_CORE = frozenset({max(os.sched_getaffinity(0))})
SMALL = Scenario(
    "smoke",
    "five streams at once and a few requests",
    Job(
        targets=[],
        streams=5,
        tokens=4,
        gap=0.002,
        arrivals=0.2,
        seed=3,
        together=True,
        small_rate=20,
        big_rate=10,
        big_bytes=100_000,
    ),
)


def test_five_streams_direct() -> None:
    before = psutil.Process().children()
    found = measure(Setting(SMALL, Contender("direct"), 0, divide(os.sched_getaffinity(0))))
    assert found.outcome.errors == {}
    assert found.outcome.chunks == 5 * 4
    assert found.outcome.ttft.count == 5
    assert found.outcome.latency.count == found.outcome.requests - 5
    assert found.cpu == 0  # there is no proxy to account for
    assert psutil.Process().children() == before


def test_a_child_runs_on_its_core_only_and_ends_with_the_block(tmp_path: Path) -> None:
    ours = os.sched_getaffinity(0)
    show = "import os; print(sorted(os.sched_getaffinity(0)), flush=True); input()"
    with running(
        "child", [sys.executable, "-c", show], ANY_CORE, tmp_path / "log", talks=True
    ) as child:
        assert child.hear(20) == f"{sorted(ANY_CORE)}\n".encode()
    assert child.process.returncode is not None
    assert os.sched_getaffinity(0) == ours


def test_a_child_that_breaks_is_quoted(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit('no more water')"]
    with (
        running("child", command, ANY_CORE, tmp_path / "log", talks=True) as child,
        pytest.raises(MeasureError, match="no more water"),
    ):
        child.hear(20)


def test_ctrl_c_leaves_nothing_behind() -> None:
    command = [sys.executable, "-c", INTERRUPTED]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as bench:
        assert bench.stdout
        pid = int(bench.stdout.readline())
        bench.send_signal(signal.SIGINT)
        assert bench.wait(20) != 0
    assert not psutil.pid_exists(pid)


INTERRUPTED = """
import os, sys, tempfile, time
from pathlib import Path
from bench.processes import running
with tempfile.TemporaryDirectory() as folder:
    command = [sys.executable, "-c", "import time; time.sleep(600)"]
    core = frozenset({max(os.sched_getaffinity(0))})
    with running("child", command, core, Path(folder, "log")) as child:
        print(child.process.pid, flush=True)
        time.sleep(600)
"""
