"""Experiments from beginning to end on copies of engine twins, and what they leave behind."""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest
from experiment_kit import lab_of, write_twins

from headrace.evidence import store
from headrace.experiments.catalogue import EXPERIMENTS
from headrace.experiments.change import Change
from headrace.experiments.copies import started
from headrace.experiments.copy_folder import copy_folder
from headrace.experiments.errors import ExperimentError
from headrace.experiments.experiment import Effort
from headrace.experiments.finding import Finding
from headrace.experiments.keep import keep
from headrace.experiments.perform import STOPPED, TWIN, perform
from headrace.experiments.settings import with_changes
from headrace.fleet.load import FleetFile


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_STATE", str(tmp_path / "s"))
    monkeypatch.setenv("HEADRACE_CACHE", str(tmp_path / "c"))


async def done(
    name: str, file: FleetFile, folder: Path, knobs: Sequence[str]
) -> tuple[Finding, list[Path]]:
    experiment, lab = EXPERIMENTS[name], lab_of(file, folder)
    finding = await perform(experiment, lab, with_changes(experiment.settings[Effort.QUICK], knobs))
    return finding, keep(finding, lab)


async def test_batching_beats_one_at_a_time_and_is_kept_as_evidence(tmp_path: Path) -> None:
    file = write_twins(tmp_path, tpot="4ms")
    knobs = ["requests=12", "size=6", "output_p50=8", "output_p99=30"]
    finding, written = await done("batching", file, tmp_path / "out", knobs)
    # A twin's token takes as long for six as for one.
    gain = finding.conclusion.figures["requests of continuous over one at a time"].value
    assert 2 < gain < 7
    assert TWIN in finding.conclusion.doubts
    assert len(finding.points) == 3
    page = written[0].read_text()
    assert "<svg" in page
    assert "continuous batching of 6 clients serves" in page.lower()
    (kept,) = store.load(file.path).results
    assert kept.experiment == "batching"
    assert kept.variants[0].fingerprint.emulated
    assert kept.variants[0].figures["requests"].value > 0
    assert all((tmp_path / "out" / run / "requests.jsonl").exists() for run in finding.runs)
    again = msgspec.json.decode(written[1].read_bytes(), type=Finding)
    assert again.conclusion.words == finding.conclusion.words


async def test_the_baseline_goes_on_beyond_the_limit_and_finds_the_knee(tmp_path: Path) -> None:
    # Prompts are read one by one, 2 ms each: two at once are nearly all that there is to gain.
    file = write_twins(tmp_path, tpot="1ms", prefill="150ms", seats=2)
    knobs = ["most=8", "each=6", "least=6", "prompt=60", "output_p50=3", "output_p99=3"]
    finding, _ = await done("baseline", file, tmp_path / "out", knobs)
    clients = [one.clients for one in finding.points]
    assert clients[:2] == [1, 2]
    assert finding.conclusion.words[0].split()[1:3] in (["requests", "at"], ["knee", "up"])
    assert set(store.load(file.path).results[0].variants[0].figures) >= {"in flight", "requests"}


async def test_prefix_caching_is_seen_where_there_is_one(tmp_path: Path) -> None:
    file = write_twins(tmp_path, prefill="300ms")
    knobs = ["shared=200", "own=40", "requests=6", "output=2", "turns=2", "clients=2"]
    finding, _ = await done("prefix", file, tmp_path / "out", knobs)
    assert finding.conclusion.figures["ttft p50 change, a shared beginning"].value < -0.3
    by_name = {one.name: one for one in store.load(file.path).results[0].variants}
    assert (
        by_name["prefix cache off"].fingerprint.flags["engine.flags.enable-prefix-caching"] is False
    )


async def test_context_tells_promise_and_refusals(tmp_path: Path) -> None:
    file = write_twins(tmp_path)
    knobs = ["lower=128", "requests=16", "clients=8", "seed=3"]
    finding, _ = await done("context", file, tmp_path / "out", knobs)
    figures = finding.conclusion.figures
    assert figures["requests of full length, as it is"].value == 8  # 8,192 tokens of 1,024
    assert figures["requests of full length, lower limit"].value == 64
    assert figures["requests of full length, lower limit, same promise"].value == 8
    assert figures["refused, as it is"].value == 0
    assert figures["refused, lower limit"].value > 0
    assert "no mere tax" in finding.conclusion.words[0]


async def test_shapes_finds_that_prompts_hold_others_up(tmp_path: Path) -> None:
    file = write_twins(tmp_path, prefill="400ms")
    knobs = [
        "short_prompt=40", "short_output=4", "long_output=24", "long_prompt=600",
        "moderate_output=6", "clients=2", "each=2", "requests=20", "load=0.7",
    ]  # fmt: skip
    finding, _ = await done("shapes", file, tmp_path / "out", knobs)
    figures = finding.conclusion.figures
    # 600 tokens of prompt take 0.24 s of a twin that reads one prompt after the other.
    assert figures["engine seconds, long/moderate"].value > 0.2
    assert figures["TTFT p95 change, beside long prompts"].value > 0.25
    assert any("long prompts" in words for words in finding.conclusion.words)


async def test_what_is_measured_until_ctrl_c_is_concluded_from(tmp_path: Path) -> None:
    file = write_twins(tmp_path, tpot="4ms")
    experiment, said = EXPERIMENTS["batching"], []
    lab = lab_of(file, tmp_path / "out", said)
    settings = with_changes(experiment.settings[Effort.QUICK], ["requests=12", "repeats=50"])
    performing = asyncio.create_task(perform(experiment, lab, settings))
    while not any("continuous-1" in line for line in said):
        assert not performing.done()
        await asyncio.sleep(0.02)
    performing.cancel()
    finding = await performing
    assert finding.case.interrupted
    assert 2 <= len(finding.points) <= 3
    assert STOPPED in finding.conclusion.doubts
    assert not left(tmp_path)


async def test_stopped_before_anything_was_measured_is_an_error(tmp_path: Path) -> None:
    experiment, lab = EXPERIMENTS["batching"], lab_of(write_twins(tmp_path), tmp_path / "out")
    performing = asyncio.create_task(perform(experiment, lab, experiment.settings[Effort.QUICK]))
    await asyncio.sleep(0)
    performing.cancel()
    with pytest.raises(ExperimentError, match="before anything was measured"):
        await performing


async def test_a_copy_that_cannot_start_says_why(tmp_path: Path) -> None:
    file = write_twins(tmp_path)
    with pytest.raises(ExperimentError, match=r"the copy.* (ended|engine does not start)"):
        async with started(file, "chat", Change(fields={"engine.version": "0.1"}), lambda _: None):
            pytest.fail("it started")
    assert not left(tmp_path)


def test_a_copy_ends_when_whoever_started_it_is_killed_and_its_folder_at_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_twins(tmp_path)
    program = tmp_path / "one.py"
    program.write_text(KILLED)
    process = subprocess.Popen(
        [sys.executable, str(program), str(tmp_path / "tried.yaml")],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline().strip() == "ready"
        assert left(tmp_path)
        process.send_signal(signal.SIGKILL)
        process.wait()
        _, alive = psutil.wait_procs(left(tmp_path), timeout=40)
    assert not alive
    (abandoned,) = tmp_path.glob("headrace-*")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with copy_folder() as own:
        assert list(tmp_path.glob("headrace-*")) == [own], abandoned


KILLED = """
import asyncio, sys
from pathlib import Path
from headrace.experiments.change import AS_IT_IS
from headrace.experiments.copies import started
from headrace.fleet.load import load_fleet

async def main():
    async with started(load_fleet(Path(sys.argv[1])), "chat", AS_IT_IS, lambda _: None):
        print("ready", flush=True)
        await asyncio.sleep(3600)

asyncio.run(main())
"""


def left(folder: Path) -> list[psutil.Process]:
    """Return processes of copies that are still there; their folders are in the temporary one."""
    return [one for one in psutil.process_iter() if _of_a_copy(one, folder)]


def _of_a_copy(process: psutil.Process, folder: Path) -> bool:
    try:
        environment: dict[str, Any] = process.environ()
        words = process.cmdline()
    except (psutil.Error, OSError):
        return False
    ours = environment.get("HEADRACE_CACHE") == str(folder / "c")
    return (
        ours
        and any("headrace" in word for word in words)
        and process.pid != os.getpid()
        and ("one.py" not in " ".join(words))
    )
