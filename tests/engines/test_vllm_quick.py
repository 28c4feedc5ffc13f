"""vLLM's processes share one import: with a stand-in that spawns as vLLM does, in real processes.

`tests/real` has the engine itself.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace.engines import vllm_quick

SCRIPT = Path(vllm_quick.__file__)
CORES = sorted(os.sched_getaffinity(0))

SERVER = """
import json, multiprocessing, os, sys
from vllm.v1.engine import core

def main():
    os.environ["SET_BY_SERVER"] = "1"
    child = multiprocessing.get_context("spawn").Process(target=core.run, name="EngineCore")
    child.start()
    core.tell("server", argv=sys.argv)
    child.join()
    sys.exit(child.exitcode)

if __name__ == "__main__":
    main()
"""
CORE = """
import json, multiprocessing, os, sys, time

def tell(who, **more):
    names = ("SET_BY_SERVER", "SET_BY_CORE", "OMP_NUM_THREADS", "GOMP_CPU_AFFINITY", "LD_PRELOAD", "OPENBLAS_NUM_THREADS")
    seen = {name: os.environ[name] for name in names if name in os.environ}
    with open(os.environ["TOLD"], "a") as file:
        file.write(json.dumps({"who": who, "pid": os.getpid(), "env": seen, "cores": sorted(os.sched_getaffinity(0)),
                               "ours": [n for n in os.environ if n.startswith("HEADRACE")], **more}) + "\\n")

def run():
    os.environ["SET_BY_CORE"] = "1"
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    lock = context.Lock()  # kept until it is there
    worker = context.Process(target=work, args=(theirs, lock), name="VllmWorker-0", daemon=True)
    worker.start()
    tell("core", answer=ours.recv())
    if "HANG" in os.environ:
        worker.join()
        sys.exit(7)

def work(pipe, lock):
    with lock:
        tell("worker")
        pipe.send("hello")
    if "HANG" in os.environ:
        time.sleep(60)
"""


@pytest.fixture
def short() -> Iterator[Path]:
    """Give a folder for sockets, whose paths may not be long; nothing may stay in it."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        yield Path(folder)
        assert list(Path(folder).iterdir()) == []


@pytest.fixture
def engine(tmp_path: Path, short: Path) -> dict[str, str]:
    """Make an environment in which `import vllm` finds the stand-in, which counts its imports."""
    count = "import os\nwith open(os.environ['IMPORTS'], 'a') as file: file.write('x')\n"
    for name, text in {
        "vllm.entrypoints.openai.api_server": SERVER,
        "vllm.entrypoints.launchers.api_server.entry": "",
        "vllm.v1.engine.async_llm": "",
        "vllm.v1.engine.core": count + CORE,
        "vllm.v1.executor.multiproc_executor": "",
        "vllm.v1.worker.cpu_worker": "",
        "torch.nothing": "",
    }.items():
        path = (tmp_path / "site").joinpath(*name.split(".")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for folder in (tmp_path / "site").rglob("*"):
        if folder.is_dir():
            (folder / "__init__.py").touch()
    lib = tmp_path / "site" / "torch" / "lib"
    lib.mkdir()
    maps = Path("/proc/self/maps").read_text().split()
    (lib / "libgomp.so.1").symlink_to(
        next(word for word in maps if "libc.so" in word or "libc-" in word)
    )
    theirs = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE")}
    return theirs | {
        "PYTHONPATH": str(tmp_path / "site"),
        "TOLD": str(tmp_path / "told"),
        "IMPORTS": str(tmp_path / "imports"),
        "VLLM_CPU_OMP_THREADS_BIND": ",".join(map(str, CORES)),
        "TMPDIR": str(short),
    }


def start(environ: dict[str, str]) -> subprocess.Popen[str]:
    argv = [sys.executable, "-P", str(SCRIPT), "--model", "/m"]
    return subprocess.Popen(
        argv, env=environ, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Return how it ended and what it said; what hangs is killed, all of it."""
    try:
        _, said = process.communicate(timeout=60)
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    return process.returncode, said


def run(environ: dict[str, str]) -> tuple[int, str]:
    return ended(start(environ))


def told(environ: dict[str, str]) -> dict[str, dict[str, Any]]:
    lines = Path(environ["TOLD"]).read_text().splitlines()
    return {one["who"]: one for one in map(json.loads, lines)}


def imports(environ: dict[str, str]) -> int:
    return len(Path(environ["IMPORTS"]).read_text())


def test_three_processes_share_one_import(engine: dict[str, str]) -> None:
    assert run(engine) == (0, "")
    seen = told(engine)
    assert imports(engine) == 1
    assert len({one["pid"] for one in seen.values()}) == 3
    assert seen["core"]["answer"] == "hello"
    assert seen["server"]["argv"] == ["vllm.entrypoints.openai.api_server", "--model", "/m"]


def test_a_plain_start_imports_for_each(engine: dict[str, str]) -> None:
    assert run(engine | {"HEADRACE_PLAIN_START": "1"}) == (0, "")
    assert imports(engine) == 3


def test_each_finds_the_environment_that_a_spawned_one_would(engine: dict[str, str]) -> None:
    given = engine | {"OMP_NUM_THREADS": "77"}
    run(given | {"HEADRACE_PLAIN_START": "1"})
    plain = {who: one["env"] for who, one in told(engine).items()}
    Path(engine["TOLD"]).unlink()
    run(given)
    assert {who: one["env"] for who, one in told(engine).items()} == plain
    assert plain["worker"] == {"SET_BY_SERVER": "1", "SET_BY_CORE": "1", "OMP_NUM_THREADS": "77"}
    assert told(engine)["worker"]["ours"] == []


def test_the_server_and_the_core_have_all_cores(engine: dict[str, str]) -> None:
    run(engine)
    assert told(engine)["server"]["cores"] == told(engine)["core"]["cores"] == CORES


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"VLLM_CPU_OMP_THREADS_BIND": "0|1"}, "does not name the cores of one rank"),
        ({"VLLM_CPU_OMP_THREADS_BIND": "auto"}, "does not name the cores of one rank"),
    ],
)
def test_what_cannot_be_shared_starts_plainly_and_says_so(
    engine: dict[str, str], change: dict[str, str], why: str
) -> None:
    status, said = run(engine | change)
    assert status == 0
    assert said.startswith("headrace: a plain start, each process imports for itself: ")
    assert why in said
    assert imports(engine) == 3
    assert told(engine)["server"]["cores"] == CORES


def test_a_socket_that_cannot_be_made_starts_plainly(
    engine: dict[str, str], tmp_path: Path
) -> None:
    long = tmp_path / ("x" * 120)
    long.mkdir()
    status, said = run(engine | {"TMPDIR": str(long)})
    assert (status, imports(engine)) == (0, 3)
    assert "OSError: AF_UNIX path too long" in said


def test_modules_that_are_elsewhere_in_this_version_start_plainly(engine: dict[str, str]) -> None:
    (Path(engine["PYTHONPATH"]) / "vllm/v1/worker/cpu_worker.py").unlink()
    status, said = run(engine)
    assert (status, imports(engine)) == (0, 3)
    assert "No module named 'vllm.v1.worker.cpu_worker'" in said


def test_an_import_that_begins_a_thread_is_not_forked(engine: dict[str, str]) -> None:
    thread = "import threading, time\nthreading.Thread(target=time.sleep, args=(3,), daemon=True).start()\n"
    (Path(engine["PYTHONPATH"]) / "vllm/v1/worker/cpu_worker.py").write_text(thread)
    status, said = run(engine)
    assert (status, imports(engine)) == (0, 3)
    assert "importing vLLM began 1 threads" in said


def test_a_pytorch_without_openmp_starts_plainly(engine: dict[str, str]) -> None:
    (Path(engine["PYTHONPATH"]) / "torch/lib/libgomp.so.1").unlink()
    status, said = run(engine)
    assert (status, imports(engine)) == (0, 3)
    assert "has no OpenMP of its own" in said


def test_a_worker_that_is_killed_is_noticed(engine: dict[str, str]) -> None:
    process = start(engine | {"HANG": "1"})
    worker = _wait_for(engine, "core") and told(engine)["worker"]["pid"]
    os.kill(worker, signal.SIGKILL)
    assert ended(process)[0] == 7


def test_a_server_that_is_killed_leaves_nothing_once_its_children_have_ended(
    engine: dict[str, str], short: Path
) -> None:
    process = start(engine | {"HANG": "1"})
    _wait_for(engine, "core")
    process.kill()
    process.wait()
    assert list(short.iterdir()) != []
    os.kill(told(engine)["worker"]["pid"], signal.SIGKILL)
    process.communicate(timeout=60)  # until the last one has closed its log
    assert list(short.iterdir()) == []


def test_a_server_that_is_killed_leaves_a_tree_that_its_keeper_finds(
    engine: dict[str, str],
) -> None:
    """The core and the worker are children of the fork server, and that a child of the server."""
    process = start(engine | {"HANG": "1"})
    _wait_for(engine, "core")
    parents = {who: _parent(one["pid"]) for who, one in told(engine).items()}
    assert parents["core"] == parents["worker"]
    assert _parent(parents["core"]) == process.pid
    os.kill(told(engine)["worker"]["pid"], signal.SIGKILL)
    ended(process)
    end = time.monotonic() + 60
    while Path(f"/proc/{parents['core']}").exists():  # until the last one that could ask has gone
        assert time.monotonic() < end
        time.sleep(0.02)


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _wait_for(engine: dict[str, str], who: str) -> bool:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if Path(engine["TOLD"]).exists() and who in told(engine):
            return True
        time.sleep(0.02)
    raise AssertionError(f"{who} never spoke")
