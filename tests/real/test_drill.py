"""A drill on real vLLM: one of two replicas is killed in mid-stream, and no client loses a token."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fleet_process import running_fleet, write_fleet

from headrace.drill.again import LIMIT
from headrace.drill.report import Report
from headrace.drill.run import Order, drill
from headrace.local.state import StateDir, running_fleets

STREAMS = 12


@pytest.fixture(scope="module")
def state(
    vllm_python: Path, smollm2: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[StateDir]:
    assert vllm_python.exists()
    assert smollm2.exists()
    folder = tmp_path_factory.mktemp("d")
    with running_fleet(write_fleet(folder, min="2", cooldown="10m"), folder / "s") as fleet:
        fleet.wait_for(r"^ready: (\S+)")
        yield next(state for state, _ in running_fleets(folder / "s"))


async def test_a_killed_replica_costs_its_streams_a_pause_and_nothing_else(state: StateDir) -> None:
    order = Order(kind="kill", streams=STREAMS, concurrency=STREAMS, tokens=64)
    report: Report = await drill(state, order, print)
    assert report.good, report.examples
    assert report.begun >= STREAMS
    assert report.whole == report.begun
    assert report.continued >= 1
    assert report.pause_ms.count >= report.continued
    assert report.checked is not None
    assert report.checked.streams >= report.continued
    assert report.checked.worst_gap <= LIMIT
