"""A CPU that is not measured, and no recorded starts: plans in tests do not depend on this machine."""

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


@pytest.fixture(autouse=True)
def _no_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Know of no start that this machine recorded: plans go by those."""
    monkeypatch.setenv("HEADRACE_STATE", str(tmp_path / "state"))
