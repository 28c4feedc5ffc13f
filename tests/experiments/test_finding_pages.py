"""A finding on a terminal and as a page, its doubts, and what is said where there is no room."""

import io
from pathlib import Path

import pytest
from experiment_kit import case, lab_of, ran, write_twins
from rich.console import Console

from headrace.bench.answers import Answer, Failure
from headrace.bench.doubt import Kind, doubtful
from headrace.bench.run import About, Run
from headrace.bench.summary import summarise
from headrace.bench.validity import judge
from headrace.evidence.fingerprint import Fingerprint
from headrace.evidence.result import Figure, Support
from headrace.experiments.change import AS_IT_IS
from headrace.experiments.doubts import doubts_of
from headrace.experiments.errors import ExperimentError
from headrace.experiments.finding import Conclusion, Finding, Plot, Series
from headrace.experiments.keep import evidence, keep
from headrace.experiments.lab import doubted
from headrace.experiments.page import page
from headrace.experiments.report import report
from headrace.experiments.room import busy, check_room, gpus_taken, refusal
from headrace.experiments.words import sentence
from headrace.fleet.load import load_fleet
from headrace.hardware.machine import Machine
from headrace.pages.html import Table

SAID = Conclusion(
    words=("max_num_seqs 8 is enough", "the others <only> wait"),
    tables=(Table(("clients", "tokens/s"), (("1", "25"), ("8", "170")), caption="rates"),),
    plots=(
        Plot(
            heading="Throughput", reading="Higher is better.", x="clients", y="tokens/s",
            series=(Series("measured", (1.0, 8.0), (25.0, 170.0), (1.0, 2.0)), Series("planned", (1.0, 8.0), (None, 160.0))),
            marks=((8.0, "knee"),), levels=((100.0, "promised"),),
        ),
        Plot(heading="Bars", reading="x", x="", y="ms", kind="bars", series=(Series("a", ("p", "q"), (1.0, None)),)),
        Plot(heading="Nothing", reading="x", x="", y="", series=(Series("a", (), ()), Series("b", (), ()))),
    ),
    figures={"knee": Figure(value=8, unit="requests")},
    variants={AS_IT_IS.label: {"requests": Figure(value=3.5, unit="requests/s")}},
    doubts=("it was measured once",),
    supports=(Support(setting="engine.flags.enable-prefix-caching", value=True, says="4 times"),),
    next="headrace experiment shapes",
)  # fmt: skip


def finding() -> Finding:
    return Finding(
        name="baseline", question="how many?", case=case(settings={"most": 8, "lower": None}, interrupted=True),
        conclusion=SAID, began="2026-11-28T05:00:00+00:00", seconds=12.3, runs=("001-clients-1",),
    )  # fmt: skip


def test_the_terminal_has_answer_table_doubts_and_what_is_next() -> None:
    out = io.StringIO()
    Console(file=out, width=120).print(page(finding()))
    said = out.getvalue()
    for part in (
        "baseline: chat (friend), 2026-11-28 05:00 UTC, 12 s; stopped early",
        "max_num_seqs 8 is enough.", "The others <only> wait.", "doubt: It was measured once.",
        "next: headrace experiment shapes", "rates", "170",
    ):  # fmt: skip
        assert part in said


def test_the_page_has_plots_escaped_words_settings_and_runs() -> None:
    document = report(finding())
    assert document.count("<svg") == 3
    assert "The others &lt;only&gt; wait." in document
    assert '<td class="words">true</td>' in document
    assert "Knobs: most=8 lower=auto." in document
    assert "001-clients-1" in document
    assert 'aria-label="Throughput: measured 1.0 25, 8.0 170; planned 8.0 160"' in document


def test_evidence_has_the_setting_of_each_variant(tmp_path: Path) -> None:
    lab = lab_of(write_twins(tmp_path), tmp_path / "out")
    lab.settings = {AS_IT_IS.label: Fingerprint(model="m"), "other": Fingerprint(model="n")}
    kept = evidence(finding(), lab)
    assert [(one.name, one.fingerprint.model, list(one.figures)) for one in kept.variants] == [
        ("as it is", "m", ["requests"]), ("other", "n", []),
    ]  # fmt: skip
    assert kept.conclusion == SAID.words
    assert kept.taken.isoformat() == "2026-11-28T05:00:00+00:00"
    lab.folder.write_text("a file")
    with pytest.raises(ExperimentError, match="out"):
        keep(finding(), lab)


def test_a_doubt_is_said_once_with_the_runs_that_have_it() -> None:
    late, other = (doubtful(one, "Look.") for one in ("The client was late.", "It was busy."))
    runs = [
        ("a", ran(doubts=(late, other))), ("b", ran(doubts=(late,))), ("c", ran(failed=5, whole=95)),
        ("d", ran()), ("e", ran(whole=4, doubts=(other,))), ("f", ran(doubts=(other,))), ("g", ran(doubts=(other,))),
    ]  # fmt: skip
    assert list(doubts_of(runs)) == [
        "a and b: The client was late. Look.",
        "4 of 7 runs: It was busy. Look.",
        "the smallest run has 4 whole answers: a p95 of so few is about their slowest; --long sends more",
        "5 of 700 requests failed (0.7 %); rates and times are of whole answers",
    ]
    both = [("a", ran(doubts=(late,))), ("b", ran(doubts=(late,)))]
    assert list(doubts_of(both)) == ["The client was late. Look."]


@pytest.mark.parametrize("whole", [1, 8, 64])
def test_a_small_number_of_answers_is_one_doubt_for_all_runs(whole: int) -> None:
    answers = [
        Answer(number=n, due=n, sent=n, ended=n + 1.0, first=n + 0.5, last=n + 1.0, output_tokens=2, tokens_from="events")
        for n in range(whole)
    ]  # fmt: skip
    run = Run(About(name="a", address="http://x/v1", model="m", began=""), answers, [])
    summary = summarise(run)
    assert any("whole answer" in str(one) for one in judge(run, summary))
    said = doubted(run, summary)
    assert not any("whole answer" in str(one) for one in said)
    assert any("the endpoint told no usage" in str(one) for one in said)


def test_no_answer_at_all_is_no_small_number_of_them() -> None:
    failed = Answer(number=0, due=0.0, sent=0.0, ended=1.0, failure=Failure.RESET)
    run = Run(About(name="a", address="http://x/v1", model="m", began=""), [failed], [])
    assert [one.kind for one in doubted(run, summarise(run))] == [Kind.FAILED]


def test_sentences_begin_and_end_as_such() -> None:
    assert sentence("the answer") == "The answer."
    assert sentence("max_model_len 1 -> 2: why?") == "max_model_len 1 -> 2: why?"
    assert sentence("headrace plan") == "headrace plan."
    assert sentence("") == ""


def test_no_room_is_said_with_figures_and_a_way_out() -> None:
    machine = Machine((0, 1), 2.0, 8 * 10**9, 10**9)
    short = ["1 replicas of 3.0 GiB do not fit, as 0.9 GiB of memory are available"]
    beside = refusal(short, machine, ["/srv/laptop.yaml"])
    assert beside.startswith(
        "there is no room for a copy beside /srv/laptop.yaml: 1 replicas of 3.0 GiB"
    )
    assert "8.0 GB, 1.0 GB are free" in beside
    assert "`headrace down /srv/laptop.yaml`" in beside
    assert "lower kv_cache" in refusal(short, machine, [])


def test_gpus_of_a_running_fleet_are_not_taken() -> None:
    others = {"/srv/chat.yaml": {"gpu"}, "/srv/twin.yaml": {"emulated"}}
    said = gpus_taken({"gpu"}, others, {})
    assert said.startswith("/srv/chat.yaml is up on this machine's GPUs")
    assert "CUDA_VISIBLE_DEVICES" in said
    assert not gpus_taken({"gpu"}, others, {"CUDA_VISIBLE_DEVICES": "3"})
    assert not gpus_taken({"cpu"}, others, {})
    assert not gpus_taken({"gpu"}, {"/srv/twin.yaml": {"emulated"}}, {})
    assert busy(others) == ["/srv/chat.yaml"]


def test_a_copy_that_needs_more_than_there_is_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "big.yaml"
    path.write_text(
        'fleet: c\nmodels: {m: {weights: "file:///nowhere"}}\nhardware: {h: {kind: cpu}}\n'
        "deployments: {d: {model: m, hardware: h, kv_cache: 900TiB}}\n"
        "routes: {r: {match: {model: [d]}, deployment: d}}\n"
    )
    with pytest.raises(ExperimentError, match="there is no room for a copy"):
        check_room(load_fleet(path))
    check_room(write_twins(tmp_path))
