"""The fleets that benchmarks start: they serve, end with their block, and say why if they cannot."""

from __future__ import annotations

from pathlib import Path

import httpx
import psutil
import pytest
from bench.up import up

TWIN = Path(__file__).parents[2] / "examples" / "twin.yaml"
TEXT = TWIN.read_text().replace("8090", "0").replace("8091", "0").replace("start: 1s", "start: 0s")


def test_it_serves_for_as_long_as_the_block_lasts(tmp_path: Path) -> None:
    with up(TEXT, tmp_path, 60.0) as fleet:
        found = httpx.get(f"{fleet.address}/models", trust_env=False).json()
        assert found["data"][0]["id"] == "twin"
        assert fleet.state.path.parent == tmp_path / "s"
        assert psutil.pid_exists(fleet.pid)
    assert not psutil.pid_exists(fleet.pid)


def test_why_it_does_not_is_told(tmp_path: Path) -> None:
    with (
        pytest.raises(RuntimeError, match="no: unknown key"),
        up("fleet: x\nno: 1\n", tmp_path, 60.0),
    ):
        pass
