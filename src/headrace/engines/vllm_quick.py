"""Starts vLLM so that its processes share one import of Python's modules, instead of three in turn.

A script of its own, for the engine's interpreter (standard library only; arguments are vLLM's). On
a CPU vLLM starts an API server, which spawns an engine core, which spawns a worker; each imports
the same modules for 5 to 7 s before the next begins. Here one process imports them once and forks
an idle copy of itself, a fork server as Python's multiprocessing has it; the copy forks what vLLM
spawns. It is forked before vLLM has begun anything: it has one thread, no sockets, no model.

What a spawned process would be given, a forked one is given too: the environment of the process
that asks for it (vLLM sets variables on the way), its arguments, its cores. OpenMP reads its
settings once, when it is loaded, so the worker's are set before anything is (hence one rank only).
Whatever of this cannot be done here, vLLM is started as usual, and the log says so; so it is where
HEADRACE_PLAIN_START is set. Figures and limits: docs/decisions/0016-cold-start.md.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import importlib.util
import os
import runpy
import socket
import sys
from collections.abc import Mapping
from multiprocessing import connection, context, forkserver, resource_tracker, spawn
from pathlib import Path
from typing import Any

_MODULE = "vllm.entrypoints.openai.api_server"
_SHARED = (
    "vllm.entrypoints.launchers.api_server.entry",
    "vllm.v1.engine.async_llm",
    "vllm.v1.engine.core",
    "vllm.v1.executor.multiproc_executor",
    "vllm.v1.worker.cpu_worker",
)
"""What the processes import, as of 0.32.0."""
_WORKER = "VllmWorker"
"""How the names of workers begin; they alone are bound to their cores, as vLLM binds them."""
_NEWEST = (3, 14)
"""From here on Python's fork server is another."""
_PLAIN = "HEADRACE_PLAIN_START"
_AGAIN = "HEADRACE_QUICK_CORES"
"""Cores of the process, told to the program that it becomes to have OpenMP loaded as it should."""
_EARLY = ("LD_PRELOAD", "OMP_NUM_THREADS", "GOMP_CPU_AFFINITY", "OPENBLAS_NUM_THREADS")
"""Read by libraries when they are loaded; vLLM should find them as they were given to us."""

_server: Any = forkserver._forkserver  # noqa: SLF001


def main() -> None:
    """Become vLLM's API server."""
    if _PLAIN not in os.environ and _AGAIN not in os.environ:
        _begin_again()  # returns only if it cannot
    if _AGAIN in os.environ:
        _reserve_titles()
    cores = os.environ.pop(_AGAIN, None)
    if cores is not None:
        try:
            _share(frozenset(map(int, cores.split(","))))
        except Exception as error:  # noqa: BLE001 - whatever it is, vLLM can start without it
            _say(f"{type(error).__name__}: {error}")
    sys.argv[0] = _MODULE
    runpy.run_module(_MODULE, run_name="__main__")


def _say(why: str) -> None:
    sys.stderr.write(f"headrace: a plain start, each process imports for itself: {why}\n")


# Before anything is loaded.


def _begin_again() -> None:
    """Run this program once more, with what OpenMP reads; vLLM sets the same for a worker."""
    library, bound = _openmp(), os.environ.get("VLLM_CPU_OMP_THREADS_BIND", "")
    try:
        worker = _numbers(bound)
    except ValueError:
        _say(f"VLLM_CPU_OMP_THREADS_BIND={bound} does not name the cores of one rank")
        return
    if library is None:
        _say("this environment's PyTorch has no OpenMP of its own")
        return
    given = {name: os.environ[name] for name in _EARLY if name in os.environ}
    early = {
        _AGAIN: ",".join(map(str, sorted(os.sched_getaffinity(0)))),
        "LD_PRELOAD": ":".join(filter(None, [given.get("LD_PRELOAD"), str(library)])),
        "OMP_NUM_THREADS": str(len(worker)),
        "GOMP_CPU_AFFINITY": " ".join(map(str, worker)),
        "OPENBLAS_NUM_THREADS": "1",  # else importing NumPy begins threads, and forks need one
    }
    before = {f"{_AGAIN}_{name}": value for name, value in given.items()}
    environ = os.environ | before | early
    os.execve(sys.executable, sys.orig_argv, environ)  # noqa: S606 - ourselves, with no shell


def _openmp() -> Path | None:
    """Return PyTorch's OpenMP, found where vLLM looks for it."""
    torch = importlib.util.find_spec("torch")
    if torch is None or torch.origin is None:
        return None
    package = Path(torch.origin).parent
    folders = (package.parent / "torch.libs", package / "lib")
    found = [path for folder in folders for path in sorted(folder.glob("libgomp*.so*"))]
    return found[0] if found else None


def _numbers(text: str) -> list[int]:
    """Read cores as in `0-1,3`; ValueError for anything else, such as those of several ranks."""
    cores: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        cores.extend(range(int(first), int(last or first) + 1))
    return cores


def _reserve_titles() -> None:
    """Let vLLM name its processes later: the names take the place of arguments and environment.

    That place is found while the environment is as it was given, and not after it was changed.
    """
    with contextlib.suppress(ImportError):
        importlib.import_module("setproctitle").getproctitle()


# One import, and the copy that forks.


def _share(cores: frozenset[int]) -> None:
    try:
        _forget_early()
        _import()
        _begin_server(cores)
    finally:
        os.sched_setaffinity(0, cores)  # OpenMP has bound this thread to the first of them


def _forget_early() -> None:
    for name in _EARLY:
        os.environ.pop(name, None)
        if (given := os.environ.pop(f"{_AGAIN}_{name}", None)) is not None:
            os.environ[name] = given


def _import() -> None:
    """Import what the processes share; RuntimeError if a copy of this one could not be relied on.

    A copy has but the thread that made it: a lock that another one held would be held for ever.
    """
    if sys.version_info >= _NEWEST:
        raise RuntimeError(f"not tried on Python {sys.version.split()[0]}")
    gc.disable()  # nothing that is imported is garbage, and looking for it takes time
    try:
        for name in _SHARED:
            importlib.import_module(name)
    finally:
        gc.enable()
    threads = len(list(Path("/proc/self/task").iterdir()))
    if threads > 1:
        raise RuntimeError(f"importing vLLM began {threads - 1} threads, so it cannot be forked")
    gc.freeze()  # a collection would write to the memory that the copies share


def _begin_server(cores: frozenset[int]) -> None:
    """Fork Python's fork server, which has then imported all that it needs; have all use it."""
    resource_tracker.ensure_running()
    alive, kept = os.pipe()
    with socket.socket(socket.AF_UNIX) as listener:
        address = connection.arbitrary_address("AF_UNIX")  # type: ignore[attr-defined]
        listener.bind(address)
        Path(address).chmod(0o600)
        listener.listen()
        pid = os.fork()
        _fork_what_is_spawned(cores)
        if pid == 0:
            os.close(kept)
            _serve(listener.detach(), alive, Path(address))
    os.close(alive)
    _server._forkserver_address = address  # noqa: SLF001 - Python has no other way in
    _server._forkserver_alive_fd = kept  # noqa: SLF001
    _server._forkserver_pid = pid  # noqa: SLF001


def _serve(listener: int, alive: int, address: Path) -> None:
    """Fork whenever asked, until nobody is left who could ask; never return."""
    status = 1
    try:
        forkserver.main(listener, alive, [])
    except SystemExit:
        status = 0
        with contextlib.suppress(OSError):  # usually the first process has done this by then
            address.unlink(missing_ok=True)
            address.parent.rmdir()
    finally:
        os._exit(status)


def _fork_what_is_spawned(cores: frozenset[int]) -> None:
    """Have this process ask the server for what it spawns, and begin so when it is forked."""
    described, prepare = spawn.get_preparation_data, spawn.prepare

    def told(name: str) -> dict[str, Any]:
        return {**described(name), "environ": dict(os.environ)}

    def taken(data: Mapping[str, Any]) -> None:
        os.environ.clear()
        os.environ.update(data["environ"])
        if not data["name"].startswith(_WORKER):
            os.sched_setaffinity(0, cores)
        prepare(data)

    spawn.get_preparation_data, spawn.prepare = told, taken
    _server.ensure_running = lambda: None  # by itself each process would start one of its own
    context._concrete_contexts["spawn"] = _Forking()  # type: ignore[attr-defined]  # noqa: SLF001


class _Forking(context.ForkServerContext):
    """What vLLM gets when it asks for the way to spawn."""

    _name = "spawn"


if __name__ == "__main__":
    main()
