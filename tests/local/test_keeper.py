"""Real processes: whatever dies, and however, nothing of an engine is left."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil
import pytest

from headrace.local import kept

FAMILY = """
import os, signal, subprocess, sys, time
folder = sys.argv[1]
sleeper = "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
child = subprocess.Popen([sys.executable, "-S", "-c", sleeper])
other = subprocess.Popen([sys.executable, "-S", "-c", sleeper], start_new_session=True)
deaf = "deaf" in sys.argv
if deaf: signal.signal(signal.SIGTERM, signal.SIG_IGN)
with open(folder + "/pids.new", "w") as f: f.write(f"{os.getpid()} {child.pid} {other.pid}")
os.rename(folder + "/pids.new", folder + "/pids")
print("hello from the engine", flush=True)
time.sleep(600)
"""
"""An engine with a helper, and one in a session of its own; both helpers ignore SIGTERM."""

SUPERVISOR = """
import asyncio, sys
from pathlib import Path
from headrace.local import kept
async def main():
    program = kept.Program(sys.argv[2:], {}, Path(sys.argv[1], "log"), 0.5)
    await kept.start(program)
    await asyncio.sleep(600)
asyncio.run(main())
"""


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - other processes set no events here
            await asyncio.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def family(folder: Path) -> list[int]:
    await until((folder / "pids").exists)
    return [int(pid) for pid in (folder / "pids").read_text().split()]


@pytest.fixture
async def cleanup(tmp_path: Path) -> AsyncIterator[None]:
    yield
    if (tmp_path / "pids").exists():
        for pid in await family(tmp_path):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def program(folder: Path, *extra: str, grace: float = 0.5) -> kept.Program:
    argv = [sys.executable, "-S", "-c", FAMILY, str(folder), *extra]
    return kept.Program(argv, {"PATH": os.environ["PATH"]}, folder / "log", grace)


@pytest.mark.usefixtures("cleanup")
async def test_term_ends_the_engine_and_then_helpers_that_ignore_it(tmp_path: Path) -> None:
    engine = await kept.start(program(tmp_path, grace=60))
    pids = await family(tmp_path)
    assert pids[0] == engine.pid
    engine.terminate()
    assert await engine.exit == -signal.SIGTERM
    await engine.gone
    assert not any(alive(pid) for pid in pids)
    assert "hello from the engine" in (tmp_path / "log").read_text()


@pytest.mark.usefixtures("cleanup")
async def test_a_deaf_engine_is_killed_after_its_grace(tmp_path: Path) -> None:
    engine = await kept.start(program(tmp_path, "deaf", grace=0.3))
    pids = await family(tmp_path)
    started = time.monotonic()
    engine.terminate()
    assert await engine.exit == -signal.SIGKILL
    assert time.monotonic() - started >= 0.3
    await engine.gone
    assert not any(alive(pid) for pid in pids)


@pytest.mark.usefixtures("cleanup")
async def test_kill_does_not_wait_for_the_grace(tmp_path: Path) -> None:
    engine = await kept.start(program(tmp_path, "deaf", grace=600))
    pids = await family(tmp_path)
    engine.kill()
    await engine.gone
    assert not any(alive(pid) for pid in pids)


@pytest.mark.usefixtures("cleanup")
async def test_an_engine_that_dies_takes_its_helpers_along(tmp_path: Path) -> None:
    engine = await kept.start(program(tmp_path, grace=600))
    pids = await family(tmp_path)
    os.kill(engine.pid, signal.SIGKILL)
    assert await engine.exit == -signal.SIGKILL
    await engine.gone
    assert not any(alive(pid) for pid in pids)


@pytest.mark.usefixtures("cleanup")
@pytest.mark.parametrize("extra", [(), ("deaf",)])
async def test_kill_nine_of_the_supervisor_leaves_nothing(
    tmp_path: Path, extra: tuple[str, ...]
) -> None:
    argv = program(tmp_path, *extra).argv
    supervisor = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SUPERVISOR, str(tmp_path), *argv
    )
    pids = await family(tmp_path)
    keeper = psutil.Process(pids[0]).ppid()
    assert keeper != supervisor.pid
    supervisor.kill()
    await supervisor.wait()
    await until(lambda: not any(alive(pid) for pid in [*pids, keeper]))


def keeper_of(engine: kept.Kept) -> int:
    return psutil.Process(engine.pid).ppid()


@pytest.mark.usefixtures("cleanup")
async def test_kill_nine_of_the_keeper_kills_the_engine(tmp_path: Path) -> None:
    engine = await kept.start(program(tmp_path))
    pids = await family(tmp_path)
    os.kill(keeper_of(engine), signal.SIGKILL)
    assert await engine.exit == kept.KILLED
    await engine.gone
    await until(lambda: not alive(pids[0]))


async def test_sigint_of_a_terminal_does_not_reach_the_engine(tmp_path: Path) -> None:
    argv = [sys.executable, "-S", "-c", "import time; time.sleep(600)"]
    engine = await kept.start(kept.Program(argv, {}, tmp_path / "log", 60))
    keeper = keeper_of(engine)
    assert os.getpgid(engine.pid) not in {os.getpgid(0), os.getpgid(keeper)}
    os.kill(keeper, signal.SIGINT)
    os.kill(keeper, signal.SIGHUP)
    engine.terminate()
    assert await engine.exit == -signal.SIGTERM
    await engine.gone


async def test_a_program_that_does_not_exist_is_told(tmp_path: Path) -> None:
    missing = kept.Program(["/no/such/engine"], {}, tmp_path / "log", 1)
    with pytest.raises(kept.StartError, match="/no/such/engine: No such file"):
        await kept.start(missing)


async def test_a_quick_exit_status_arrives(tmp_path: Path) -> None:
    argv = [sys.executable, "-S", "-c", "raise SystemExit(7)"]
    engine = await kept.start(kept.Program(argv, {}, tmp_path / "log", 1))
    assert await engine.exit == 7
    await engine.gone
