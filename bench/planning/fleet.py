"""A fleet of this machine's own vLLM, for a measurement: the example's, on another port."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

EXAMPLE = Path(__file__).parents[2] / "examples" / "laptop.yaml"
MODEL = "smollm2"
_START = 600.0
_CHANGES = {
    r"^fleet: laptop$": "fleet: measured",
    r"min: 0 .*$": "min: 1",
    r"max: 2$": "max: 1",
    r"port: 8080": "port: {port}",
    r"^    slo: .*\n": "",  # nothing is refused, however long it waits
}


@contextmanager
def fleet(folder: Path, port: int) -> Iterator[None]:
    """Run one replica behind a gateway on `port`, its files in `folder`, until left."""
    file = folder / "measured.yaml"
    file.write_text(_changed(port), encoding="utf-8")
    environment = {**os.environ, "HEADRACE_STATE": str(folder / "s")}
    with (folder / "up.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "headrace", "up", str(file)],
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            _wait(process, port, folder / "up.log")
            yield
        finally:
            process.terminate()
            process.wait(120)


def _changed(port: int) -> str:
    text = EXAMPLE.read_text(encoding="utf-8")
    for pattern, new in _CHANGES.items():
        text, count = re.subn(pattern, new.format(port=port), text, flags=re.MULTILINE)
        if count != 1:
            raise ValueError(f"{EXAMPLE}: {pattern!r} is there {count} times, expected once")
    return text


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Wait for the first answer; the gateway holds the request until the replica is ready."""
    body = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2}
    deadline = time.monotonic() + _START
    while process.poll() is None and time.monotonic() < deadline:
        try:
            answer = httpx.post(
                f"http://127.0.0.1:{port}/v1/chat/completions", json=body, timeout=_START
            )
        except httpx.TransportError:
            time.sleep(0.5)
            continue
        if answer.is_success:
            return
    raise RuntimeError(f"the fleet gave no answer:\n{log.read_text(errors='replace')[-2000:]}")
