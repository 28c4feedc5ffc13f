"""A CPU that is not measured: tests of plans do not depend on how busy this machine is."""

from __future__ import annotations

from pathlib import Path

import pytest
from plan_kit import cpu

from headrace.hardware.accelerator import Accelerator
from headrace.planning import places


@pytest.fixture
def small_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Accelerator:
    """Let every measurement give the CPU of `plan_kit`, and nothing be remembered."""
    made = cpu()
    monkeypatch.setenv("HEADRACE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(places, "measure_cpu", lambda machine: made)  # noqa: ARG005 - by name
    return made
