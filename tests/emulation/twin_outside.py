"""A twin as a process of its own, and what tests read from it."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx


class Twin:
    def __init__(self, *flags: str) -> None:
        command = [sys.executable, "-m", "headrace.emulation", "--port", "0", *flags]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.lines: list[str] = []
        self.client = httpx.Client()

    @property
    def url(self) -> str:
        return self.lines[-1].rpartition(" ")[2].strip()

    def fresh(self) -> httpx.Client:
        """Return a client that has no connection yet."""
        return httpx.Client(base_url=self.url, timeout=60, trust_env=False)

    def serving(self) -> "Twin":
        """Wait for the line that says that the port is open."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            if " on http://" in line:
                self.client = self.fresh()
                return self
        raise AssertionError(self.lines)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def end(self) -> None:
        self.client.close()
        if self.process.poll() is None:
            self.process.kill()
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.process.wait()


def start(twins: list[Twin], *flags: str) -> Twin:
    twins.append(Twin(*flags))
    return twins[-1].serving()


def read_events(lines: Iterator[str], count: int | None = None) -> list[Any]:
    found: list[Any] = []
    for line in lines:
        if line.startswith("data: "):
            found.append(line if line == "data: [DONE]" else json.loads(line[6:]))
        if len(found) == count:
            break
    return found
