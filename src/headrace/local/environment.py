"""Makes the Python environment that an engine runs in, once, from a pinned list.

`headrace.engines.environment` has the lists; `prepare.py` asks for the interpreter. An environment
cannot be moved, so it is built in place and is only valid with its marker, which is written last.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from headrace.engines.environment import Environment
from headrace.local import strays
from headrace.local.errors import LocalError, setting_up

Say = Callable[[str], None]
_MARKER = ".complete"
_LAST_LINES = 12
_COUNT_EVERY = 5.0
_PIP = ("-m", "pip", "--no-input", "--disable-pip-version-check")
_NO_CPU_WHEEL = re.compile(r"No matching distribution found for \S+\+cpu")
_CPU_INDEX = (
    "\nPyPI carries no CPU wheels of PyTorch. Tell pip once where PyTorch's own index of them is"
    " (see pytorch.org, CPU): pip config set global.extra-index-url ADDRESS"
)
_TOLD = re.compile(r"^(Downloading \S+ \(.*\)|Installing collected packages)")


class EnvironmentFailedError(LocalError):
    """The environment could not be made; the message has the end of what pip said."""


def ensure_environment(wanted: Environment, root: Path, say: Say) -> Path:
    """Return the interpreter of the environment, made below `root`/engines if it is not there.

    One process makes it, others wait. `say` gets a line of progress now and then. Raises
    EnvironmentFailedError, SetUpInterruptedError.
    """
    folder = root / "engines" / f"{wanted.name}-{_digest(wanted)}"
    python = folder / "bin" / "python"
    if (folder / _MARKER).exists():
        return python
    folder.parent.mkdir(parents=True, exist_ok=True)
    doing = f"the environment {folder.name} was being made"
    with setting_up(doing, "pip keeps what it has fetched"), _turn(folder, say):
        if not (folder / _MARKER).exists():
            _build(folder, python, wanted, say)
    return python


def _digest(wanted: Environment) -> str:
    """Return 8 digits that change with the list and with the interpreter it is for."""
    text = "\n".join([sys.version.split()[0], sys.base_prefix, *wanted.requirements])
    return hashlib.sha256(text.encode()).hexdigest()[:8]


@contextmanager
def _turn(folder: Path, say: Say) -> Iterator[None]:
    lock = FileLock(f"{folder}.lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        say(f"another process is making {folder.name}; waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _build(folder: Path, python: Path, wanted: Environment, say: Say) -> None:
    say(f"making the environment {folder.name}, {len(wanted.requirements)} packages, once")
    shutil.rmtree(folder, ignore_errors=True)
    _run([sys.executable, "-m", "venv", str(folder)], "python -m venv", say)
    listed = folder / "requirements.txt"
    listed.write_text("\n".join(wanted.requirements) + "\n")
    install = (*_PIP, "install", "--no-deps", "--progress-bar", "off", "-r", str(listed))
    with _counting(folder, len(wanted.requirements), say):
        _run([str(python), *install], f"pip install of {wanted.name}", say)
    (folder / _MARKER).touch()


@contextmanager
def _counting(folder: Path, total: int, say: Say, every: float = _COUNT_EVERY) -> Iterator[None]:
    """Say every few seconds how many packages are in: pip is silent while it unpacks them."""
    done = threading.Event()
    before = _installed(folder)

    def count() -> None:
        while not done.wait(every):
            if added := _installed(folder) - before:
                say(f"installed {added} of {total} packages")

    counter = threading.Thread(target=count, daemon=True)
    counter.start()
    try:
        yield
    finally:
        done.set()
        counter.join()


def _installed(folder: Path) -> int:
    return sum(1 for _ in folder.glob("lib/python*/site-packages/*.dist-info"))


def _run(argv: list[str], what: str, say: Say) -> None:
    last: deque[str] = deque(maxlen=_LAST_LINES)
    with subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        try:
            _relay(process.stdout or (), last, say)
        except KeyboardInterrupt:  # which only a terminal sends to it, too
            one = psutil.Process(process.pid)
            strays.end([*one.children(recursive=True), one])
            raise
    if process.returncode != 0:
        words = "\n".join(last)
        words += _CPU_INDEX if _NO_CPU_WHEEL.search(words) else ""
        raise EnvironmentFailedError(f"{what} failed (status {process.returncode}):\n{words}")


def _relay(lines: Iterable[str], last: deque[str], say: Say) -> None:
    for line in lines:
        last.append(line.rstrip())
        told = _TOLD.match(line.strip())
        if told:
            say(told.group())
