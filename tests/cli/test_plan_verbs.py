"""What a person sees of plan, explain, choose, calibrate and validate: pages, sentences, status."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from headrace.cli.main import main
from headrace.planning import plan_html
from headrace.starts import ledger

FLEET = """\
fleet: f
models: {m: {weights: "hf://meta-llama/Llama-3.1-8B@main"}}
hardware: {h: {kind: gpu, product: H100, hourly_price: 3}, twin: {kind: emulated}}
deployments:
  chat: {model: m, hardware: h, max_num_seqs: auto, max_model_len: 8192}
  other: {model: m, hardware: %s}
routes:
  chat:
    match: {model: [chat]}
    deployment: chat
    traffic: {rate: 5, prompt: {p50: 1000, p99: 4000}, output: {p50: 150, p99: 600}}
  other: {match: {model: [other]}, deployment: other}
"""
RUN = {
    "input_toks": 100,
    "output_toks": 11,
    "arrival_time": 0.0,
    "first_token_ts": 0.1,
    "last_token_ts": 0.2,
}


class Done(NamedTuple):
    status: int
    out: str
    err: str


Headrace = Callable[..., Done]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "fleet.yaml"
    made.write_text(FLEET % "h")
    return made


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let pages be there without their plots, which take seconds."""
    monkeypatch.setattr(plan_html, "plans", lambda _, made: f"a page of {len(made)}")
    monkeypatch.setattr(plan_html, "choice", lambda *_: "a page of a choice")


@pytest.fixture
def headrace(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Headrace:
    """Run the command line in this process; what is no sentence is an exception."""
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("HEADRACE_CACHE", str(tmp_path / "cache"))

    def run(*arguments: str | Path) -> Done:
        monkeypatch.setattr(sys, "argv", ["headrace", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return Done(int(ended.value.code or 0), out, err)

    return run


def test_plan_prints_each_deployment(headrace: Headrace, file: Path) -> None:
    done = headrace("plan", file)
    assert done.status == 0
    assert "chat: m, bf16, 16.1 GB on 1 x H100, TP1, vLLM 0.32.0" in done.out
    assert "other: m, bf16" in done.out
    assert "uncalibrated, ±30 %" in done.out
    assert "route other declares no rate" in done.out


@pytest.mark.parametrize(
    "words", [("plan",), ("validate",), ("explain", "chat")], ids=lambda words: words[0]
)
def test_the_recorded_starts_of_a_fleet_are_read_once(
    headrace: Headrace, file: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    file.write_text(FLEET.replace("%s}", "h, max_num_seqs: auto, max_model_len: 4096}"))
    asked, read = [], ledger.read
    monkeypatch.setattr(ledger, "read", lambda *paths: asked.append(paths) or read(*paths))
    verb, *rest = words
    assert headrace(verb, file, *rest).status == 0
    assert len(asked) == 1


def test_plan_of_one_deployment(headrace: Headrace, file: Path) -> None:
    done = headrace("plan", file, "--deployment", "chat")
    assert (done.status, "other:" in done.out) == (0, False)


def test_plan_as_json_is_a_line_for_each(headrace: Headrace, file: Path) -> None:
    done = headrace("plan", file, "--json")
    chat, other = (json.loads(line) for line in done.out.splitlines())
    assert (done.status, chat["deployment"], other["deployment"]) == (0, "chat", "other")
    assert chat.keys() == other.keys()
    assert (chat["rate"], other["rate"], other["replicas"]) == (5, None, None)
    assert chat["money"]["fleet"]["hour"] == 3 * chat["replicas"]["mean"]


@pytest.mark.usefixtures("drawn")
def test_plan_of_a_file_with_twins_plans_the_others_and_says_what_is_missing(
    headrace: Headrace, file: Path, tmp_path: Path
) -> None:
    file.write_text(FLEET % "twin")
    page = tmp_path / "plan.html"
    done = headrace("plan", file, "--html", page)
    assert done.status == 1
    assert "chat: m, bf16" in done.out
    assert "headrace: hardware.twin.product is not said" in done.err
    assert page.read_text() == "a page of 1"


def test_plan_of_a_file_with_an_unknown_model_plans_the_others(
    headrace: Headrace, file: Path
) -> None:
    text = file.read_text().replace('main"}}', 'main"}, n: {weights: "hf://me/mine@main"}}')
    file.write_text(text.replace("chat: {model: m", "chat: {model: n"))
    done = headrace("plan", file)
    assert done.status == 1
    assert "other: m, bf16" in done.out  # it comes after the one that cannot be planned
    assert "'me/mine' is not in the catalogue" in done.err
    assert "headrace weights pull" in done.err


@pytest.mark.parametrize("name", ["caht", ""])
def test_a_wrong_deployment_suggests(headrace: Headrace, file: Path, name: str) -> None:
    hint = "did you mean 'chat'?" if name else "known: chat, other"
    for arguments in (
        ("plan", file, "-d", name),
        ("choose", file, name),
        ("explain", file, f"{name}.max_num_seqs"),
    ):
        done = headrace(*arguments)
        assert (done.status, done.out) == (1, "")
        assert f"has no deployment '{name}'; {hint}" in done.err


def test_plan_writes_a_page(headrace: Headrace, file: Path, tmp_path: Path) -> None:
    done = headrace("plan", file, "--html", tmp_path / "plan.html")
    text = (tmp_path / "plan.html").read_text()
    assert done.status == 0
    assert "plan.html written" in done.err
    assert text.lstrip().lower().startswith("<!doctype html>")
    assert "<svg" in text
    assert "max_num_seqs" in text


@pytest.mark.usefixtures("drawn")
@pytest.mark.parametrize("verb", [("plan",), ("choose", "chat")])
def test_a_page_that_cannot_be_written_is_a_sentence(
    headrace: Headrace, file: Path, tmp_path: Path, verb: tuple[str, ...]
) -> None:
    path = tmp_path / "nowhere" / "page.html"
    done = headrace(verb[0], file, *verb[1:], "--html", path)
    assert done.status == 1
    assert f"headrace: {path}: No such file or directory" in done.err


def test_explain_says_whose_value_it_is_and_why(headrace: Headrace, file: Path) -> None:
    done = headrace("explain", file, "chat.max_num_seqs")
    assert done.status == 0
    assert done.out.startswith("max_num_seqs = ")
    assert "(auto): the cache has " in done.out
    assert headrace("explain", file, "chat.max-num-seqs").out == done.out
    whole = headrace("explain", file, "chat").out
    assert done.out in whole
    assert "scaling.max = 1 (the default): " in whole


def test_explain_as_json(headrace: Headrace, file: Path) -> None:
    (line,) = headrace("explain", file, "chat.scaling.max", "--json").out.splitlines()
    found = json.loads(line)
    assert list(found) == ["name", "value", "origin", "why", "rests", "evidence"]
    assert (found["name"], found["value"], found["origin"]) == ("scaling.max", 1, "default")


@pytest.mark.parametrize(
    ("flag", "hint"),
    [
        ("max_num_seq", "did you mean 'max_num_seqs'?"),
        ("scaling.maximum", "did you mean 'scaling.max'?"),
        ("xyz", "known: gpu_memory_utilization, hardware,"),
        ("kv_cache", "known: gpu_memory_utilization, hardware,"),
    ],
)
def test_explain_of_an_unknown_flag_suggests(
    headrace: Headrace, file: Path, flag: str, hint: str
) -> None:
    done = headrace("explain", file, f"chat.{flag}")
    assert done.status == 2
    words = " ".join(done.err.replace("│", " ").split())
    assert f"nothing is planned of '{flag}' in chat; {hint}" in words


def test_choose_ranks_what_is_named(headrace: Headrace, file: Path, tmp_path: Path) -> None:
    done = headrace(
        "choose", file, "chat", "--on", "H100=2.5", "--on", "L40S", "--html", tmp_path / "c.html"
    )
    assert done.status == 0
    assert "chat: 5 requests/s of" in done.out
    assert "H100 TP1 bf16" in done.out
    assert "<svg" in (tmp_path / "c.html").read_text()


def test_choose_as_json_with_the_files_hardware(headrace: Headrace, file: Path) -> None:
    done = headrace("choose", file, "chat", "--json", "--rate", "7")
    found = json.loads(done.out)
    assert (done.status, list(found)) == (0, ["kept", "beaten", "missed", "unfit", "advice"])
    assert {row["accelerator"] for row in found["kept"]} == {"H100"}
    for row in found["kept"]:
        assert row["hour"] == pytest.approx(3 * row["accelerators"])
        assert row["thousand_requests"] == pytest.approx(row["hour"] / (3600 * 7) * 1000)


def test_choose_ends_with_1_where_nothing_keeps_the_promise(headrace: Headrace, file: Path) -> None:
    file.write_text(
        (FLEET % "h").replace(
            "    deployment: chat\n", "    deployment: chat\n    slo: {tpot: 1us}\n"
        )
    )
    assert headrace("choose", file, "chat").status == 1  # no such unit
    file.write_text(
        (FLEET % "h").replace(
            "    deployment: chat\n", "    deployment: chat\n    slo: {tpot: 0.1ms}\n"
        )
    )
    done = headrace("choose", file, "chat", "--on", "H100")
    assert done.status == 1
    assert "even a request alone has TPOT p95" in done.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("--on", "H1000"),
            "headrace: --on H1000: no accelerator is known as 'H1000'; did you mean",
        ),
        (("--on", "H100=nan"), "headrace: --on H100=nan: the price of an hour must be 0 or more"),
        (
            ("--rate", "-1"),
            "headrace: deployments.chat: the rate is -1.0 requests/s; it must be above 0",
        ),
    ],
)
def test_choose_with_bad_arguments(
    headrace: Headrace, file: Path, arguments: tuple[str, ...], words: str
) -> None:
    done = headrace("choose", file, "chat", *arguments)
    assert done.status == 1
    assert words in done.err


def test_choose_without_a_rate_says_how_to_give_one(headrace: Headrace, file: Path) -> None:
    done = headrace("choose", file, "other")
    assert (done.status, done.out) == (1, "")
    assert "route other declares no rate" in done.err
    assert "--rate" in done.err


def test_calibrate_checks_a_run(headrace: Headrace, file: Path, tmp_path: Path) -> None:
    run = tmp_path / "run.jsonl"
    run.write_text("\n".join([json.dumps(RUN)] * 30))
    done = headrace("calibrate", file, "chat", run, "--check")
    assert done.status == 0
    assert done.out.startswith("uncalibrated, ±30 %: off by ")
    assert not list(tmp_path.glob("*.calibration.json"))


def test_calibrate_keeps_what_it_learned_and_plans_use_it(
    headrace: Headrace, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from headrace.capacity.efficiency import Efficiency  # noqa: PLC0415 - only here
    from headrace.planning import calibrating  # noqa: PLC0415 - as above

    fitted = Efficiency(0.8, 0.7, 0.001, 0.4, 0.05, "H100, vLLM 0.32.0, m, ±5 %", 10e-6)
    monkeypatch.setattr(
        calibrating, "calibrate", lambda *_: fitted
    )  # fitting has its own tests, and takes a minute
    run = tmp_path / "run.jsonl"
    run.write_text("\n".join([json.dumps(RUN)] * 30))
    done = headrace("calibrate", file, "chat", run)
    assert done.status == 0
    assert "80% of the bandwidth, 70% of the compute, 1.00 ms a step, 10 us a sequence" in done.out
    (kept,) = json.loads((tmp_path / "fleet.calibration.json").read_text())
    assert (kept["accelerator"], kept["engine"], kept["run"], kept["requests"]) == (
        "H100",
        "0.32.0",
        "run.jsonl",
        30,
    )
    assert (
        "speed of one replica, H100, vLLM 0.32.0, m, ±5 %"
        in headrace("plan", file, "-d", "chat").out
    )


def test_calibrate_names_a_bad_line(headrace: Headrace, file: Path, tmp_path: Path) -> None:
    run = tmp_path / "run.jsonl"
    run.write_text("\n".join([json.dumps(RUN), "nonsense"]))
    done = headrace("calibrate", file, "chat", run)
    assert done.status == 1
    assert f"headrace: {run}:2: not a JSON object" in done.err


def test_validate_lists_what_the_plan_chose(headrace: Headrace, file: Path) -> None:
    done = headrace("validate", file)
    assert done.status == 0
    good, auto = done.out.splitlines()
    assert good == f"{file}: good: 1 model, 2 deployments, 2 routes"
    assert auto.startswith("auto: chat.max_num_seqs = ")


def test_validate_names_the_line_of_what_cannot_be_chosen(headrace: Headrace, file: Path) -> None:
    file.write_text(
        (FLEET % "twin").replace("hardware: twin", "hardware: twin, max_num_seqs: auto")
    )
    done = headrace("validate", file)
    assert done.status == 1
    assert (
        f"headrace: {file}:6: deployments.other.max_num_seqs: auto: hardware.twin.product is not said"
        in done.err
    )


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("tensor_parallel: 3", "tensor_parallel: 3 does not divide the 32 attention heads"),
        ("max_model_len: 200000", "max_model_len: 200,000 tokens, but m was made for 131,072"),
        ("max_model_len: 131072, gpu_memory_utilization: 0.2", "max_model_len: m does not"),
    ],
)
def test_validate_names_the_line_of_what_no_engine_starts(
    headrace: Headrace, file: Path, field: str, words: str
) -> None:
    file.write_text((FLEET % "h").replace("hardware: h}", f"hardware: h, {field}}}"))
    done = headrace("validate", file)
    assert done.status == 1
    assert f"headrace: {file}:6: deployments.other.{words}" in done.err


@pytest.mark.parametrize(
    ("traffic", "words"),
    [
        ("{}", "traffic: expects nothing"),
        ("{rate: 0}", "traffic.rate: input should be greater than 0"),
        ("{rate: -1}", "traffic.rate: input should be greater than 0"),
        ("{rate: .nan}", "traffic.rate: "),
        ("{rate: .inf}", "traffic.rate: input should be less than or equal to 1000000"),
        ("{prompt: {p50: 9, p99: 8}}", "traffic.prompt.p99: p99 8 is less than p50 9"),
        ("{trace: t.csv, output: {p50: 8, p99: 9}}", "traffic.output: contradicts trace"),
    ],
)
def test_validate_of_traffic_that_is_none(
    headrace: Headrace, file: Path, traffic: str, words: str
) -> None:
    file.write_text(
        (FLEET % "h").replace(
            "match: {model: [other]}", f"match: {{model: [other]}}, traffic: {traffic}"
        )
    )
    done = headrace("validate", file)
    assert done.status == 1
    assert f"headrace: {file}:12: routes.other.{words}" in done.err


@pytest.mark.parametrize("verb", ["plan", "validate"])
def test_the_examples_are_good(headrace: Headrace, tmp_path: Path, verb: str) -> None:
    folder = Path(__file__).parents[2] / "examples"
    shutil.copytree(folder, tmp_path / "examples")
    done = headrace(verb, tmp_path / "examples" / "seventy.yaml")
    assert (done.status, done.err) == (0, "")
