"""A deployment's whole plan against arithmetic written out, and what it says where it has no answer."""

from __future__ import annotations

import io
from pathlib import Path

import msgspec
import pytest
from plan_kit import CHAT, planned, text_of
from rich.console import Console

from headrace.planning.explain import no_replicas
from headrace.planning.page import page
from headrace.planning.plan import Plan, plan
from headrace.planning.report import notes, report
from headrace.planning.subject import subject

PRICED = "kind: gpu, product: H100, hourly_price: 3"
TWO = """\
fleet: f
models: {m: {weights: "hf://meta-llama/Llama-3.1-8B@main"}}
hardware: {h: {kind: gpu, product: H100, hourly_price: 3}}
deployments: {d: {model: m, hardware: h, max_model_len: 16384}}
routes:
  chat: {match: {model: [chat]}, deployment: d, traffic: {rate: 4, prompt: {p50: 500, p99: 500}, output: {p50: 200, p99: 200}}}
  docs: {match: {model: [docs]}, deployment: d, traffic: {rate: 1, prompt: {p50: 8000, p99: 8000}, output: {p50: 200, p99: 200}}}
"""


def printed(made: Plan) -> str:
    console = Console(file=io.StringIO(), width=120, highlight=False)
    console.print(page(made))
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


def test_costs_are_the_hour_divided_by_what_it_serves(tmp_path: Path) -> None:
    made = planned(
        tmp_path,
        hardware=PRICED,
        deployment="tensor_parallel: 2",
        route="traffic: {rate: 90, prompt: {p50: 1000, p99: 4000}, output: {p50: 150, p99: 600}}",
    )
    count, traffic = made.replicas.most, made.subject.traffic
    tokens, answers = traffic.totals.mean(), traffic.outputs.mean()
    assert count > 1
    assert made.hourly == 6  # two GPUs of 3 an hour
    assert made.cost.hour == pytest.approx(6 * count)
    assert made.cost.thousand_requests == pytest.approx(6 * count / (3600 * 90) * 1000)
    assert made.cost.million_tokens == pytest.approx(6 * count / (3600 * 90) / tokens * 1e6)
    assert made.cost.million_answer == pytest.approx(6 * count / (3600 * 90) / answers * 1e6)


def test_batching_is_compared_with_one_request_at_a_time(tmp_path: Path) -> None:
    made = planned(tmp_path, hardware=PRICED)
    single, full = made.batching
    assert single.thousand_requests == pytest.approx(1000 * made.lone.e2e * 3 / 3600)
    assert full.thousand_requests == pytest.approx(3 / (3600 * made.capacity) * 1000)
    assert made.gain == pytest.approx(single.thousand_requests / full.thousand_requests)
    assert made.gain > 5


def test_a_lone_request_takes_what_reading_the_weights_takes(tmp_path: Path) -> None:
    made = planned(tmp_path)
    # All but the embedding's rows, 15.0 GB, at 90 % of 3.35 TB/s, and 2 ms a step, uncalibrated.
    read = (16_060_522_496 - 2 * 128_256 * 4096) / (0.9 * 3.35e12)
    assert made.lone.tpot == pytest.approx(read + 0.002, rel=0.03)
    assert made.efficiency.label == "uncalibrated, ±30 %"


def test_replicas_take_the_rate_within_the_slo(tmp_path: Path) -> None:
    made = planned(
        tmp_path,
        route="traffic: {rate: 100, prompt: {p50: 1000, p99: 4000}, output: {p50: 150, p99: 600}}",
    )
    assert made.replicas.most >= 100 / made.capacity
    assert made.replicas.most < 2 * 100 / made.capacity + 2
    assert made.state.rate == pytest.approx(100 / made.replicas.most, rel=0.01)
    assert made.state.ttft_p95 <= made.subject.slo.ttft
    assert made.state.tpot_p95 <= made.subject.slo.tpot


def test_routes_share_the_bill_by_the_time_that_they_take(tmp_path: Path) -> None:
    made = plan(subject(text_of(tmp_path, TWO), "d"))
    chat, docs = made.by_route["chat"], made.by_route["docs"]
    assert chat.hour + docs.hour == pytest.approx(made.cost.hour)
    assert chat.thousand_requests == pytest.approx(chat.hour / (3600 * 4) * 1000)
    assert docs.thousand_requests == pytest.approx(docs.hour / (3600 * 1) * 1000)
    assert docs.thousand_requests > 1.5 * chat.thousand_requests  # as long answers, long prompts
    assert made.subject.rate == 5
    # 4 of 500 and 1 of 8,000: 2,000 tokens a prompt.
    assert made.lengths.prompt == pytest.approx(2000, rel=0.01)


def test_without_a_rate_there_are_no_replicas_and_that_is_said(tmp_path: Path) -> None:
    made = planned(tmp_path, route="")
    assert (made.replicas, made.cost, made.threshold, made.by_route) == (None, None, None, {})
    assert made.state.rate == pytest.approx(made.capacity / 2, rel=0.01)
    assert "route r declares no rate (set traffic.rate), so no replicas and no cost" in notes(made)
    assert "route r declares no lengths of prompts and answers: those of Azure" in " ".join(
        notes(made)
    )
    text = printed(made)
    assert "at an unknown rate" in text
    assert "replicas:" not in text


@pytest.mark.parametrize(
    ("slo", "breaks", "holds"),
    [
        ("{ttft: 1ms}", "TTFT p95", "TPOT p95"),
        ("{tpot: 1ms}", "TPOT p95", "TTFT p95"),
        ("{ttft: 1ms, tpot: 1ms}", "TPOT p95", "none"),
    ],
)
def test_a_promise_that_nothing_keeps_says_what_breaks_it(
    tmp_path: Path, slo: str, breaks: str, holds: str
) -> None:
    made = planned(tmp_path, route=f"slo: {slo}, traffic: {{rate: 1}}")
    assert (made.capacity, made.replicas, made.cost) == (0, None, None)
    words = (
        " ".join(printed(made).split())
        .partition("no number of replicas keeps ")[2]
        .partition("(uncalibrated")[0]
    )
    assert "even a request alone has" in words
    assert breaks in words.partition("alone has")[2]
    assert holds not in words.partition("alone has")[2]


def test_a_promise_that_one_more_request_breaks_is_not_called_a_lack_of_room(
    tmp_path: Path,
) -> None:
    """A bound of what a request alone has, on a GPU whose memory holds hundreds."""
    how = "max_num_seqs: 1024, max_model_len: 8192"
    lone = planned(tmp_path, deployment=how).lone
    assert lone is not None
    slo = f"{CHAT}, slo: {{ttft: 2s, tpot: {1000 * lone.tpot_p95:.9f}ms}}"
    why = no_replicas(planned(tmp_path, deployment=how, route=slo))
    assert "a request alone keeps it, but one beside it breaks it (uncalibrated" in why


@pytest.mark.parametrize("deployment", ["max_num_seqs: 64", "max_model_len: 4096"])
def test_what_does_not_fit_is_still_a_plan_that_says_so(tmp_path: Path, deployment: str) -> None:
    made = planned(tmp_path, hardware="kind: gpu, product: T4", deployment=deployment)
    assert not made.fit.ok
    assert (made.capacity, made.lone, made.batching, made.replicas, made.state) == (
        0,
        None,
        None,
        None,
        None,
    )
    assert "does not fit: each of 1 T4 would hold 16.1 GB of weights" in " ".join(
        printed(made).split()
    )
    assert not report(made).fits


def test_a_burst_that_is_shorter_than_its_wait_has_a_state(tmp_path: Path) -> None:
    rows = "".join(f"{n / 1000},1000,500\n" for n in range(100))
    (tmp_path / "t.csv").write_text(f"arrival,prompt,output\n{rows}")
    made = planned(tmp_path, route="workload: batch, traffic: {trace: t.csv}")
    assert made.subject.rate == pytest.approx(1000)
    assert made.replicas.most < 1000 / made.capacity  # nobody minds a minute's wait
    assert made.state.rate == pytest.approx(made.capacity, rel=0.01)
    assert printed(made)


def test_a_recorded_time_is_planned_from_its_own_peak(tmp_path: Path) -> None:
    """Twenty minutes of ten requests a second, and as many of a rate that grows from 0 to 20."""
    most = []
    for power in (1, 0.5):
        rows = "".join(f"{1200 * (n / 12_000) ** power:.3f},8000,300\n" for n in range(12_001))
        (tmp_path / "t.csv").write_text(f"arrival,prompt,output\n{rows}")
        made = planned(tmp_path, hardware=PRICED, route="traffic: {trace: t.csv}")
        assert made.subject.traffic.count == 12_001
        assert made.subject.rate == pytest.approx(10)
        found = made.replicas
        assert 1 <= found.floor <= found.mean <= found.most
        assert found.most * made.capacity >= 10
        assert made.cost.hour == pytest.approx(3 * found.mean)
        most.append(found.most)
    even, peak = most
    assert 1.5 * even <= peak <= 2 * even


def test_the_row_of_a_lone_request_shows_how_fast_it_reads(tmp_path: Path) -> None:
    made = planned(tmp_path)
    row = next(line for line in printed(made).splitlines() if line.startswith("alone "))
    assert int(row.split()[-1]) == round(1 / made.lone.tpot)


def test_the_cache_is_wasted_as_the_lengths_say(tmp_path: Path) -> None:
    route = "traffic: {rate: 1, prompt: {p50: 300, p99: 300}, output: {p50: 167, p99: 167}}"
    made = planned(tmp_path, route=route, deployment="max_model_len: 4096")
    # The textbook's picture: 467 of 4,096 slots are used; pages of 16 take 480.
    assert made.waste.static.wasted == pytest.approx(1 - 467 / 4096)
    assert made.waste.paged.wasted == pytest.approx(1 - 467 / 480)


def test_the_report_is_json_with_all_of_it(tmp_path: Path) -> None:
    made = planned(tmp_path, hardware=PRICED, deployment="max_num_seqs: auto")
    found = msgspec.json.decode(msgspec.json.encode(report(made)))
    assert list(found) == [
        "deployment", "model", "scheme", "weights", "weights_basis", "accelerator", "tensor_parallel",
        "pipeline_parallel", "engine", "fits", "sure", "why", "flags", "memory", "cache", "requests",
        "rate", "waste", "contexts", "times", "replicas", "trigger", "money", "measured", "notes",
    ]  # fmt: skip
    assert (found["deployment"], found["accelerator"], found["engine"]) == (
        "d",
        "H100",
        "vllm 0.32.0",
    )
    assert found["weights"] == 16_060_522_496
    assert found["cache"]["block_bytes"] == [2 * 32 * 8 * 128 * 2 * 16]
    assert found["times"]["error"] == 0.3
    assert found["money"]["replica_hour"] == 3
    (memory,) = found["memory"]
    assert memory["requested"] - sum(part["bytes"] for part in memory["parts"]) == memory["kv"]
    assert {"name": "max_num_seqs", "origin": "auto"}.items() <= next(
        flag.items() for flag in found["flags"] if flag["name"] == "max_num_seqs"
    )


def test_each_stage_of_a_pipeline_has_its_memory(tmp_path: Path) -> None:
    made = planned(tmp_path, deployment="pipeline_parallel: 2")
    assert len(report(made).memory) == 2
