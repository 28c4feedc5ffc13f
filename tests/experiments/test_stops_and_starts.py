"""Restarts and cold starts of real copies, of engine twins: measured, concluded, and gone."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest
from experiment_kit import lab_of, write_twins

from headrace.experiments import coldstart_load, parallel_load, quantization_load, restart_load
from headrace.experiments.catalogue import EXPERIMENTS
from headrace.experiments.coldstart import Cache
from headrace.experiments.errors import ExperimentError
from headrace.experiments.perform import perform
from headrace.starts import ledger


def left() -> set[int]:
    """Processes below this one that still run."""
    return {one.pid for one in psutil.Process().children(recursive=True)}


async def test_a_killed_replica_costs_its_clients_nothing_and_a_bare_engine_drains(
    tmp_path: Path,
) -> None:
    lab = lab_of(write_twins(tmp_path, tpot="20ms"), tmp_path / "out")
    settings = restart_load.Settings(ways=("kill",), streams=8, concurrency=8, tokens=60, bare=2)
    found = await perform(EXPERIMENTS["restart"], lab, settings)
    drill, term, kill = found.points
    assert (drill.way, drill.drain) == ("kill", 60.0)  # the file's own, not the copies'
    assert drill.drill.whole == drill.drill.begun == 8
    assert drill.drill.continued > 0
    assert term.direct.ends == {"came whole": 2}
    assert term.direct.ready_for is not None
    assert "got 200 and an empty answer" in term.direct.fresh
    assert kill.direct.ends == {"broke off": 2}
    assert kill.direct.fresh == "found nobody listening"
    assert left() == set()


async def test_every_start_is_measured_by_phase_and_in_the_fleets_own_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_STATE", str(tmp_path / "state"))
    lab = lab_of(write_twins(tmp_path), tmp_path / "out")
    settings = coldstart_load.Settings(warm=1, emptied=1)
    found = await perform(EXPERIMENTS["coldstart"], lab, settings)
    assert [one.cache for one in found.points] == [Cache.FIRST, Cache.WARM]  # twins have no files
    for one in found.points:
        assert {"import", "known prompt"} <= set(one.phases)
        assert 0 < one.ready <= one.whole
    assert found.points[0].rules.limit == 600.0
    known = ledger.of_fleet("tried", tmp_path / "tried.yaml").starts
    assert [(one.deployment, one.outcome, one.emulated) for one in known] == [
        ("chat", "ready", True)
    ] * 2
    assert left() == set()


async def test_a_layout_that_cannot_be_is_a_finding_and_the_rest_goes_on(tmp_path: Path) -> None:
    lab = lab_of(write_twins(tmp_path), tmp_path / "out")
    settings = parallel_load.Settings(
        repeats=1,
        runs=1,
        tensor=(2, 65),
        pipeline=(),
        requests=4,
        concurrency=2,
        prompt=40,
        output=8,
    )
    found = await perform(EXPERIMENTS["parallel"], lab, settings)
    by_label = {one.label: one for one in found.points}
    assert "less than or equal to 64" in by_label["TP65"].refused
    assert by_label["TP2"].figures.whole == by_label["as it is"].figures.whole == 4
    assert any(words.startswith("TP65 is impossible here") for words in found.conclusion.words)


async def test_twins_cannot_be_quantized(tmp_path: Path) -> None:
    lab = lab_of(write_twins(tmp_path), tmp_path / "out")
    with pytest.raises(ExperimentError, match="an engine twin has no weights"):
        await perform(EXPERIMENTS["quantization"], lab, quantization_load.Settings())
