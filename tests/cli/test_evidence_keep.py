"""`headrace evidence keep`: a run's folder becomes a result beside the fleet file."""

from __future__ import annotations

import statistics
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner, Result

from headrace.bench.answers import Answer, Failure
from headrace.bench.folder import write
from headrace.bench.run import About, Run
from headrace.cli.main import app
from headrace.evidence.deployment import fingerprint
from headrace.evidence.store import EvidenceError, load
from headrace.fleet.load import load_fleet

FLEET = """\
fleet: f
models: {m: {weights: "hf://o/m@main"}}
hardware: {h: {kind: gpu, product: H100}}
deployments:
  d: {model: m, hardware: h, max_num_seqs: 16}
routes:
  r: {match: {model: [m]}, deployment: d}
"""
TTFT = [0.1 + 0.001 * ((7 * n) % 50) for n in range(50)]


def answer(number: int, ttft: float, failure: Failure | None = None) -> Answer:
    at = float(number)
    return Answer(
        number=number, due=at, sent=at + 0.001, first=at + ttft, last=at + ttft + 0.9, ended=at + ttft + 0.9,
        prompt_tokens=100, output_tokens=10, failure=failure, warmup=number < 0,
    )  # fmt: skip


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    file = tmp_path / "fleet.yaml"
    file.write_text(FLEET, encoding="utf-8")
    return file


def kept_run(fleet: Path, **about: object) -> Path:
    given = {
        "name": "evening", "address": "http://h/v1", "model": "m", "began": "2026-11-28T20:00:00Z",
        "load": {"concurrency": 4, "workers": 2, "patience": 60.0},
        "workload": {"shapes": [{"name": "a", "prompt": {"p50": 100, "p99": 100}}], "count": 50, "seed": 9},
        "setting": msgspec.to_builtins(fingerprint(load_fleet(fleet), "d")),
    } | about  # fmt: skip
    folder = fleet.parent / "run"
    folder.mkdir(exist_ok=True)
    answers = [answer(n, ttft) for n, ttft in enumerate(TTFT)]
    answers += [answer(-1, 9.0), answer(99, 9.0, Failure.RESET)]
    write(folder, Run(About(**given), answers, []))  # type: ignore[arg-type]
    return folder


def keep(*words: str | Path) -> Result:
    return CliRunner().invoke(app, ["evidence", "keep", *map(str, words)])


def test_a_run_becomes_a_result_with_its_figures(fleet: Path) -> None:
    done = keep(kept_run(fleet), fleet, "--for", "max_num_seqs")
    (one,) = load(fleet).results
    assert done.output.splitlines()[0].endswith(f"fleet.evidence/{one.id}.json")
    assert one.valid
    assert (one.experiment, one.deployment, one.day) == ("bench", "d", "2026-11-28")
    (variant,) = one.variants
    found = variant.figures
    median = statistics.median(TTFT)
    assert found["ttft p50"].value == pytest.approx(median)
    assert found["ttft p50"].n == 50
    assert found["ttft p50"].low < median < found["ttft p50"].high
    assert found["tpot p50"].value == pytest.approx(0.1)
    assert found["prompt mean"].value == 100
    assert found["failed share"].value == pytest.approx(1 / 51)
    # 50 whole answers from the first due (0 s) to the end of the last, the broken one at 99 s.
    assert found["requests"].value == pytest.approx(50 / (99 + 9.9))
    (support,) = one.supports
    assert (support.setting, support.value) == ("max_num_seqs", 16)
    assert "TTFT p50 124 ms" in support.says or "TTFT p50 125 ms" in support.says
    assert one.conclusion[0].endswith("50 whole answers, 1 failed")


def test_what_was_sent_is_in_the_workload_and_how_long_is_not(fleet: Path) -> None:
    keep(kept_run(fleet), fleet)
    workload = load(fleet).results[0].variants[0].fingerprint.workload
    assert set(workload) == {"concurrency", "shapes"}
    assert workload["concurrency"] == 4
    assert (
        fingerprint(load_fleet(fleet), "d").key
        == load(fleet).results[0].variants[0].fingerprint.key
    )


def test_doubts_are_kept_and_told(fleet: Path) -> None:
    folder = kept_run(fleet, load={})  # an open loop, where each has its time
    late = [msgspec.structs.replace(answer(n, 5.0), sent=n + 4.9) for n in range(50)]
    about = msgspec.json.decode((folder / "run.json").read_bytes(), type=About)
    write(folder, Run(about, late, []))
    done = keep(folder, fleet)
    (one,) = load(fleet).results
    assert one.doubts
    assert not one.valid
    assert one.doubts[0] in done.stderr
    assert "nothing will rest on it" in done.stderr


def test_an_endpoint_of_others_is_kept_as_what_is_known(fleet: Path) -> None:
    keep(kept_run(fleet, setting={}), fleet)
    assert load(fleet).results[0].variants[0].fingerprint.unknown == (
        "weights",
        "engine",
        "hardware",
    )


def test_what_is_no_result_is_refused(fleet: Path) -> None:
    folder = kept_run(fleet)
    about = msgspec.json.decode((folder / "run.json").read_bytes(), type=About)

    def refused(said: str, *words: str | Path) -> None:
        result = keep(*words)
        assert isinstance(result.exception, EvidenceError), result.output
        assert said in str(result.exception)

    refused("holds no run", fleet.parent / "absent", fleet)
    with (folder / "requests.jsonl").open("a") as file:
        file.write("{\n")
    refused("a result is of a whole run", folder, fleet)
    write(folder, Run(about, [answer(1, 9, Failure.RESET)], []))
    refused("no whole answer", folder, fleet)
    kept_run(fleet, setting={"model": 3})
    refused("setting is damaged", folder, fleet)
    kept_run(fleet, began="")
    refused("does not say when it began", folder, fleet)
    assert load(fleet).results == ()


def test_wrong_words_are_answered(fleet: Path) -> None:
    folder = kept_run(fleet)
    for words, said in (
        (("--for", "max_num_seq"), "max_num_seqs"),
        (("-d", "e"), "no deployment, 'e'"),
    ):
        result = keep(folder, fleet, *words)
        assert result.exit_code == 2
        assert said in " ".join(result.stderr.replace("│", "").split())
