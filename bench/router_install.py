"""The Rust vllm-router from the package index, in a virtual environment of its own."""

from __future__ import annotations

import subprocess
import sys
import time
import venv
from collections.abc import Callable
from pathlib import Path

VERSION = "0.1.17"


def installed(folder: Path) -> Path | None:
    """Return the program, if this version was installed before."""
    program = _program(folder)
    return program if program.exists() and _mark(folder).exists() else None


class InstallError(Exception):
    """The package could not be installed; the message says why, in one line."""


def install(folder: Path, say: Callable[[str], None]) -> Path:
    """Return the program, installing it first where needed; InstallError if that does not work."""
    if program := installed(folder):
        return program
    say(f"installing vllm-router {VERSION} into {_home(folder)} (once; about a minute)")
    started = time.monotonic()
    venv.create(_home(folder), with_pip=True, clear=True)
    done = subprocess.run(
        [_home(folder) / "bin" / "python", "-m", "pip", "install", f"vllm-router=={VERSION}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        errors = [line for line in done.stdout.splitlines() if line.startswith("ERROR")]
        why = errors[-1] if errors else f"pip exited with {done.returncode}"
        raise InstallError(f"could not be installed: {why}")
    _mark(folder).touch()
    say(f"installed vllm-router in {time.monotonic() - started:.0f} s")
    return _program(folder)


def _home(folder: Path) -> Path:
    return folder / f"vllm-router-{VERSION}-py{sys.version_info.major}{sys.version_info.minor}"


def _program(folder: Path) -> Path:
    return _home(folder) / "bin" / "vllm-router"


def _mark(folder: Path) -> Path:
    return _home(folder) / "complete"
