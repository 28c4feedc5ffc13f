"""Measured runs: recordings and the records of a fleet; bad lines are named, failures left out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from plan_kit import RECORDED, fleet

from headrace.planning import calibrating, runs
from headrace.planning.errors import PlanError
from headrace.planning.runs import load_run

LINE = {
    "input_toks": 100,
    "output_toks": 11,
    "arrival_time": 50.0,
    "first_token_ts": 51.0,
    "last_token_ts": 53.0,
}
RECORD = {
    "id": "a", "time": "2026-08-01T12:00:00+00:00", "outcome": "ok", "held_s": 1.5, "queued_s": 0.5,
    "ttft_s": 3.0, "duration_s": 5.0, "prompt_tokens": 100, "completion_tokens": 11,
}  # fmt: skip


def write(folder: Path, *lines: object, fill: object = LINE, count: int = 20) -> Path:
    """Write these lines, and `count` good ones after them."""
    file = folder / "run.jsonl"
    texts = [one if isinstance(one, str) else json.dumps(one) for one in lines]
    file.write_text("\n".join([*texts, *[json.dumps(fill)] * count]) + "\n")
    return file


def test_a_recording(tmp_path: Path) -> None:
    later = LINE | {"arrival_time": 60.0, "first_token_ts": 60.5, "last_token_ts": 61.5}
    run = load_run(write(tmp_path, later))
    assert run.traffic.count == 21
    assert run.traffic.arrivals[-1] == 10
    assert run.ttft.tolist() == [1.0] * 20 + [0.5]
    assert run.tpot[0] == pytest.approx(2 / 10)  # ten tokens after the first


def test_records_count_from_when_a_replica_had_them(tmp_path: Path) -> None:
    run = load_run(write(tmp_path, fill=RECORD))
    assert run.ttft.tolist() == pytest.approx([1.0] * 20)  # 3 s less 2 of waiting in front
    assert run.e2e.tolist() == pytest.approx([3.0] * 20)
    assert (run.traffic.prompts[0], run.traffic.outputs[0]) == (100, 11)


def test_requests_that_failed_are_left_out(tmp_path: Path) -> None:
    bad = [
        RECORD | {"outcome": "refused", "ttft_s": None, "completion_tokens": None},
        RECORD | {"outcome": "client_gone"},
        RECORD | {"ttft_s": None},
    ]
    assert load_run(write(tmp_path, *bad, fill=RECORD)).traffic.count == 20


def test_blank_lines_and_odd_characters_inside_strings_are_no_lines(tmp_path: Path) -> None:
    odd = json.dumps(LINE | {"prompt": "a\u2028b\x85c"}, ensure_ascii=False)
    assert load_run(write(tmp_path, odd, "", "  ")).traffic.count == 21


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "not a JSON object"),
        ("[1]", "not a JSON object"),
        ("null", "not a JSON object"),
        (LINE | {"input_toks": 0}, "must be at least 1"),
        (LINE | {"output_toks": None}, "output_toks must be a number, not None"),
        (LINE | {"first_token_ts": 49.0}, "must follow each other"),
        ({"a": 1}, "must be a number"),
        (
            {"duration_s": 1.0, "outcome": "ok", "ttft_s": 0.5},
            "not a record of `headrace requests --json`",
        ),
        (RECORD | {"time": "yesterday"}, "not a record"),
        (RECORD | {"prompt_tokens": None}, "input_toks must be a number"),
        (RECORD | {"held_s": None}, "not a record"),
    ],
)
def test_a_bad_line_is_named_by_its_number_in_the_file(
    tmp_path: Path, line: object, words: str
) -> None:
    refused = RECORD | {"outcome": "refused"}
    file = write(tmp_path, "", refused, LINE, line)
    with pytest.raises(PlanError) as caught:
        load_run(file)
    assert str(caught.value).startswith(f"{file}:4: ")
    assert words in str(caught.value)


def test_too_few_requests_are_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="19 requests; record at least 20"):
        load_run(write(tmp_path, count=19))
    with pytest.raises(PlanError, match="no requests in it"):
        load_run(write(tmp_path, RECORD | {"outcome": "refused"}, count=0))


def test_files_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PlanError, match="No such file"):
        load_run(tmp_path / "none.jsonl")
    with pytest.raises(PlanError, match="Is a directory"):
        load_run(tmp_path)
    (tmp_path / "latin").write_bytes(b"\xe9\n")
    with pytest.raises(PlanError, match="utf-8"):
        load_run(tmp_path / "latin")
    monkeypatch.setattr(runs, "MOST_BYTES", 2**20)
    (tmp_path / "large").write_bytes(b"\n" * (2**20 + 1))
    with pytest.raises(PlanError, match="larger than 1 MiB"):
        load_run(tmp_path / "large")


def test_a_real_run_has_the_times_that_were_published_with_it() -> None:
    run = load_run(RECORDED / "RTX4090.jsonl")
    assert run.traffic.count == 300
    assert float(np.mean(run.ttft)) * 1000 == pytest.approx(65_456.6, rel=0.001)


def test_a_run_of_longer_requests_than_the_deployment_takes_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path, LINE | {"input_toks": 5000})
    made = fleet(tmp_path, deployment="max_model_len: 4096")
    with pytest.raises(
        PlanError, match="a request has 5,011 tokens, more than max_model_len 4,096 of d"
    ):
        calibrating.check(made, "d", file)


def test_a_plan_is_compared_with_a_run_that_it_has_not_seen(tmp_path: Path) -> None:
    made = fleet(
        tmp_path,
        model="hf://meta-llama/Llama-3.1-8B@main",
        hardware="kind: gpu, product: RTX PRO 6000",
        deployment="engine: {version: 0.19.0}, max_num_seqs: 128, max_num_batched_tokens: 2048",
    )
    file = RECORDED / "RTXPRO6000.jsonl"
    words = calibrating.check(made, "d", file)
    assert words.startswith("uncalibrated, ±30 %: off by ")
    error = float(words.partition("off by ")[2].partition("%")[0])
    assert 0 < error < 30  # what the label says
