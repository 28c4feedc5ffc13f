"""A plan goes by the starts that were recorded of just what it plans, and says how many and when."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from plan_kit import planned

from headrace.capacity.options import ASSUMED_REACTION
from headrace.fleet.load import FleetFile, load_fleet
from headrace.hardware.accelerator import Accelerator
from headrace.planning.cold_start import cold_start
from headrace.planning.plan import plan
from headrace.planning.report import notes
from headrace.planning.subject import subject
from headrace.starts.ledger import Ledger, kept_path, record, running_path
from headrace.starts.start import Start

LAPTOP = Path(__file__).parents[2] / "examples" / "laptop.yaml"


def a_start(number: int, **fields: Any) -> Start:
    given: dict[str, Any] = {
        "id": f"s{number}", "deployment": "smollm2", "runtime": "local", "outcome": "ready",
        "began": f"2026-11-{number + 1:02d}T10:00:00.000Z", "engine": "vllm", "version": "0.32.0",
        "model": "smollm2-135m", "hardware": "cpu", "phases": {"import": float(number)},
    }  # fmt: skip
    return Start(**given | fields)


@pytest.fixture
def laptop(tmp_path: Path) -> FleetFile:
    path = tmp_path / "laptop.yaml"
    path.write_text(LAPTOP.read_text())
    return load_fleet(path)


def test_it_is_the_ninetieth_percentile_of_the_lead_time(laptop: FleetFile) -> None:
    known = Ledger(
        tuple(a_start(n, phases={"weights": 500.0, "import": 1.0 * n}) for n in range(11))
    )
    found = cold_start(laptop, "smollm2", known)
    assert (found.seconds, found.count) == (9.0, 11)
    assert (
        "a cold start of 9.0 s is measured: the 90th percentile of 11 starts on one machine"
        in found.label
    )
    assert "the last on 2026-11-11" in found.label
    assert found.reaction.delay == ASSUMED_REACTION.notice + 9.0


@pytest.mark.parametrize(
    "other",
    [
        {"emulated": True},
        {"version": "0.31.0"},
        {"model": "another"},
        {"hardware": "NVIDIA-H200"},
        {"deployment": "another"},
        {"outcome": "failed"},
        {"outcome": "stopped"},
    ],
)
def test_starts_of_something_else_say_nothing(laptop: FleetFile, other: dict[str, Any]) -> None:
    found = cold_start(laptop, "smollm2", Ledger((a_start(5, **other),)))
    assert (found.seconds, found.count) == (180.0, 0)
    assert "assumed" in found.label


def test_the_newest_kind_of_start_counts(laptop: FleetFile) -> None:
    known = Ledger(
        (a_start(5), a_start(9, runtime="kubernetes", phases={"image": 60.0, "import": 9.0}))
    )
    found = cold_start(laptop, "smollm2", known)
    assert (found.seconds, found.count) == (69.0, 1)
    assert "of 1 start on Kubernetes" in found.label


def test_starts_beside_the_file_and_of_this_machine_count_together(laptop: FleetFile) -> None:
    kept_path(laptop.path).write_bytes(msgspec.json.encode(a_start(10)) + b"\n")
    record(running_path("laptop", laptop.path), a_start(20))
    assert (cold_start(laptop, "smollm2").seconds, cold_start(laptop, "smollm2").count) == (19.0, 2)


@pytest.mark.usefixtures("small_cpu")
def test_a_plan_reacts_by_it_and_says_so(laptop: FleetFile, small_cpu: Accelerator) -> None:
    del small_cpu
    before = plan(subject(laptop, "smollm2"))
    record(running_path("laptop", laptop.path), a_start(10))
    after = plan(subject(laptop, "smollm2"))
    assert (before.reaction.delay, after.reaction.delay) == (210.0, 40.0)
    assert notes(before)[0].startswith("a cold start of 180 s is assumed")
    assert notes(after)[0].startswith("a cold start of 10.0 s is measured")
    assert after.growth > before.growth  # chance alone does more in a shorter time


@pytest.mark.parametrize(("up", "delay"), [("", 210), ("15s", 210), ("1m", 255)])
def test_help_waits_for_the_window_upwards(tmp_path: Path, up: str, delay: float) -> None:
    # a scrape of 15 s, then a sync of 15 s or the window, whichever is longer; a start of 180 s
    scaling = f"scaling: {{max: 2, up: {{window: {up}}}}}" if up else ""
    assert planned(tmp_path, deployment=scaling).reaction.delay == delay
