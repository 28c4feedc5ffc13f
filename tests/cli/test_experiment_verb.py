"""`headrace experiment`: what it lists, refuses and writes, and what Ctrl-C leaves."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from typer.testing import CliRunner

from headrace.cli.main import app
from headrace.experiments import room
from headrace.experiments.errors import ExperimentError
from headrace.fleet.problems import FleetError
from headrace.local.errors import LocalError

FLEET = """
fleet: tried
models: {any: {weights: "file:///nowhere"}}
hardware: {twins: {kind: emulated, ttft: 5ms, tpot: 4ms, start: 0ms}}
deployments:
  chat: {model: any, hardware: twins, max_model_len: 1024}
  other: {model: any, hardware: twins}
routes:
  chat: {match: {model: [chat]}, deployment: chat}
  other: {match: {model: [other]}, deployment: other}
gateway: {port: 0, admin_port: 0}
"""


@pytest.fixture(autouse=True)
def _nothing_is_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_STATE", str(tmp_path / "s"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tried.yaml").write_text(FLEET)


@pytest.fixture
def twin() -> Iterator[str]:
    """A server that is not ours: any OpenAI-compatible address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "headrace.emulation", "--port", "0", "--ttft", "3ms", "--tpot", "1ms",
         "--enable-prompt-tokens-details"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    with process, process.stdout:
        for line in process.stdout:
            if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                yield f"{found[0]}/v1"
                break
        process.kill()


def test_the_list_has_every_experiment_with_its_question_and_knobs() -> None:
    result = CliRunner().invoke(app, ["experiment", "list"])
    assert result.exit_code == 0
    assert "baseline: how fast is one request" in result.output
    assert "context: what does a lower max_model_len change? (needs a fleet file)" in result.output
    assert "knobs: most=64 each=4" in result.output


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["basline", "tried.yaml"], "no experiment 'basline'; did you mean 'baseline'?"),
        (["baseline"], "give a fleet file, `running`, or --url with --model"),
        (["baseline", "--url", "http://127.0.0.1:1/v1"], "--url needs --model"),
        (["baseline", "tried.yaml", "--quick", "--long"], "exclude each other"),
    ],
)
def test_wrong_use_says_what_is_right(arguments: list[str], expected: str) -> None:
    result = CliRunner().invoke(app, ["experiment", *arguments])
    assert result.exit_code == 2
    assert expected in result.output


@pytest.mark.parametrize(
    ("arguments", "error", "expected"),
    [
        (["baseline", "none.yaml"], FleetError, "cannot be read"),
        (["baseline", "tried.yaml"], ExperimentError, "name one with --deployment: chat, other"),
        (["baseline", "tried.yaml", "-d", "chad"], ExperimentError, "did you mean 'chat'"),
        (["baseline", "running"], LocalError, "no fleet is up"),
        (["baseline", "tried.yaml", "-d", "chat", "--set", "mst=3"], ExperimentError, "did you mean 'most'"),
        (["baseline", "tried.yaml", "-d", "chat", "--set", "most=0"], ExperimentError, ">= 1"),
        (["baseline", "tried.yaml", "-d", "chat", "--set", "most=x"], ExperimentError, "Expected `int`"),
        (["context", "--url", "http://127.0.0.1:1/v1", "--model", "x"], ExperimentError, "needs a fleet file"),
        (["prefix", "--url", "http://127.0.0.1:1/v1", "--model", "x"], ExperimentError, "answers none of"),
        (["prefix", "--url", "ftp://x", "--model", "x"], LocalError, "is no address"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_says_why(
    arguments: list[str], error: type[Exception], expected: str
) -> None:
    result = CliRunner().invoke(app, ["experiment", *arguments])
    assert isinstance(result.exception, error), result.output
    assert expected in str(result.exception)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["-d", "chad"], "did you mean 'chat'"),
        ([], "name one with --deployment: chat, other"),
        (["-d", "chat"], "a copy needs 1 GPU; this machine has 0"),
        (["-d", "chat", "--set", "mst=3"], "did you mean 'most'"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_said_before_weights_are_fetched(
    arguments: list[str], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "read_gpus", lambda: ())
    twins = "{kind: emulated, ttft: 5ms, tpot: 4ms, start: 0ms}"
    gpus = FLEET.replace(twins, "{kind: gpu, product: NVIDIA-L4}")
    (tmp_path / "tried.yaml").write_text(gpus)
    result = CliRunner().invoke(app, ["experiment", "baseline", "tried.yaml", *arguments])
    assert isinstance(result.exception, ExperimentError), result.output
    assert expected in str(result.exception)


def test_an_endpoint_of_others_is_measured_and_no_evidence_is_written(
    twin: str, tmp_path: Path
) -> None:
    knobs = ["requests=4", "turns=2", "clients=2", "output=2", "shared=64", "repeats=1"]
    sets = [part for knob in knobs for part in ("--set", knob)]
    ran = [sys.executable, "-m", "headrace", "experiment", "prefix", "--url", twin, "-m", "twin"]
    result = subprocess.run(
        [*ran, *sets, "--json", "-o", str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=True,
    )
    finding = json.loads(result.stdout)
    assert finding["name"] == "prefix"
    assert len(finding["points"]) == 3
    assert finding["case"]["settings"]["shared"] == 64
    assert "prompts" in result.stderr
    assert (tmp_path / "out" / "report.html").exists()
    assert not list(tmp_path.glob("*.evidence"))


def test_who_stops_it_before_anything_was_measured_gets_nothing(tmp_path: Path) -> None:
    ran = [sys.executable, "-m", "headrace", "experiment", "batching", "tried.yaml", "-d", "chat"]
    process = subprocess.Popen(
        [*ran, "-o", "out"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        cwd=tmp_path, env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    assert process.stdout is not None
    with process, process.stdout:
        assert "starting a copy" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert "stopped before anything was measured" in process.stdout.read()
    assert process.returncode == 130
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob("*.evidence"))


def test_on_a_terminal_what_ctrl_c_brings_stands_on_lines_of_its_own(tmp_path: Path) -> None:
    ran = [sys.executable, "-m", "headrace", "experiment", "batching", "tried.yaml", "-d", "chat"]
    own, its = os.openpty()
    env = {**os.environ, "TERM": "xterm"}
    process = subprocess.Popen(ran, stdin=its, stdout=its, stderr=its, cwd=tmp_path, env=env)
    os.close(its)
    shown = b""
    with process, suppress(OSError):  # the terminal's end is an error on Linux
        while part := os.read(own, 4096):
            if b"starting a copy" not in shown and b"starting a copy" in shown + part:
                process.send_signal(signal.SIGINT)
            shown += part
    os.close(own)
    lines = re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode()))
    assert "ending; again kills what is being stopped" in lines
    assert "headrace: it was stopped before anything was measured" in lines


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_stops_it_gets_what_there_is(number: signal.Signals, tmp_path: Path) -> None:
    ran = [sys.executable, "-m", "headrace", "experiment", "batching", "tried.yaml", "-d", "chat"]
    knobs = ["--set", "repeats=99", "--set", "requests=4", "--set", "output_p99=40"]
    process = subprocess.Popen(
        [*ran, *knobs, "-o", "out"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        cwd=tmp_path, env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    assert process.stdout is not None
    with process, process.stdout:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if "measuring continuous-1" in line:
                process.send_signal(number)
    said = "".join(lines)
    assert process.returncode == 130, said
    assert "stopped early" in said
    assert json.loads((tmp_path / "out" / "finding.json").read_bytes())["case"]["interrupted"]
    (kept,) = (tmp_path / "tried.evidence").iterdir()
    assert "stopped early" in kept.read_text()
    assert json.loads(kept.read_text())["valid"] is False


def test_a_folder_that_cannot_be_written_is_an_error_before_anything_is_measured(
    twin: str, tmp_path: Path
) -> None:
    (tmp_path / "out").write_text("a file")
    result = CliRunner().invoke(
        app, ["experiment", "prefix", "--url", twin, "-m", "twin", "--quick", "-o", "out"]
    )
    assert isinstance(result.exception, LocalError)
    assert "cannot be written" in str(result.exception)


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_who_insists_gets_the_conclusion_and_nothing_of_the_copy_is_left(
    second: signal.Signals, tmp_path: Path
) -> None:
    (tmp_path / "t").mkdir()
    ran = [sys.executable, "-m", "headrace", "experiment", "batching", "tried.yaml", "-d", "chat"]
    knobs = ["--set", "repeats=99", "--set", "requests=4", "--set", "output_p99=40"]
    process = subprocess.Popen(
        [*ran, *knobs, "-o", "out"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        cwd=tmp_path, env={**os.environ, "PYTHONUNBUFFERED": "1", "TMPDIR": str(tmp_path / "t")},
    )  # fmt: skip
    assert process.stdout is not None
    with process, process.stdout:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if "measuring continuous-1" in line:
                process.send_signal(signal.SIGINT)
            elif "ending; again" in line and len(lines) < 20:
                process.send_signal(second)
                process.send_signal(signal.SIGINT)
    said = "".join(lines)
    assert process.returncode == 130, said
    assert "stopped early" in said
    assert list((tmp_path / "t").iterdir()) == []
