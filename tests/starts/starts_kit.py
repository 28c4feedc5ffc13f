"""Starts for tests, with what a test does not care about filled in."""

from __future__ import annotations

from typing import Any

from headrace.starts.start import Start


def a_start(number: int = 0, **fields: Any) -> Start:
    given: dict[str, Any] = {
        "id": f"s{number}",
        "deployment": "chat",
        "runtime": "local",
        "began": f"2026-11-28T10:{number // 60:02d}:{number % 60:02d}.000Z",
        "outcome": "ready",
        "phases": {"import": 20.0 + number, "load": 2.0},
        "engine": "vllm",
        "version": "0.32.0",
        "model": "smollm2",
        "hardware": "cpu",
    }
    return Start(**given | fields)
