"""The report's figures and its page, from streams whose times are known."""

from __future__ import annotations

import msgspec
import pytest
from drill_kit import BEYOND, DONE, ROLE, WANT, WORDS, an_ask, event, seen, words
from rich.console import Console

from headrace.drill.again import Checked
from headrace.drill.judge import judge
from headrace.drill.page import page, plot, verdict
from headrace.drill.report import Report, Spread, Tally, spread
from headrace.drill.timeline import EVERYBODY, Timeline, track

RIGHT = [event(ROLE), *words(*WORDS), DONE]
CONTINUED = [*RIGHT[:4], b": continued by chat-2 after 9 ms\n\n", *RIGHT[4:]]


def report(*answers: list[bytes], checked: Checked | None = None, unchecked: str = "") -> Report:
    tally, timeline = Tally(), Timeline(lambda _: None)
    for blocks in answers:
        one = seen(an_ask(), blocks)
        tally.add(one, judge(one, WANT))
    timeline.did("chat-1", "SIGKILL")
    figures = {**tally.counts(), **tally.times(timeline)}
    return Report(
        kind="kill", fleet="f", model="m", engine="twin", seed=1, concurrency=2, tokens=8, seconds=1.5,
        refused_with=dict(tally.refused), timeline=tuple(timeline.deeds), checked=checked,
        unchecked=unchecked, examples=tally.examples(), **figures,
    )  # fmt: skip


def test_percentiles_are_in_milliseconds() -> None:
    assert spread([0.001 * value for value in range(1, 101)]) == Spread(100, 50.5, 99.0, 100.0)
    assert spread([0.3, 0.1]) == Spread(2, 200.0, 298.0, 300.0)
    assert spread([]) == Spread(0)


def test_counts_and_pauses() -> None:
    found = report(RIGHT, RIGHT, CONTINUED)
    assert (found.begun, found.whole, found.continued) == (3, 3, 1)
    assert found.pause_ms == Spread(1, 20.0, 20.0, 20.0)
    assert found.undisturbed_ms == Spread(2, 10.0, 10.0, 10.0)
    assert found.gap_ms == 10.0
    assert found.good


@pytest.mark.parametrize(
    "bad",
    [
        [event(ROLE), *words(*WORDS[:5]), DONE],
        [event(ROLE), *words(*WORDS, *BEYOND[:1]), DONE],
        RIGHT[:4],
        RIGHT[:-1],
    ],
)
def test_one_bad_answer_fails_a_drill(bad: list[bytes]) -> None:
    found = report(RIGHT, bad)
    assert not found.good
    assert verdict(found).startswith("bad: of 2 requests 1 ")
    assert len(found.examples) == 1


def test_an_open_failure_does_not_fail_it_but_nothing_at_all_does() -> None:
    loud = report(RIGHT, [*RIGHT[:3], event({"error": {"message": "x", "code": "y"}})])
    assert loud.good
    assert verdict(loud).endswith("none cut silently, 1 failed or refused openly")
    assert not report().good


def test_a_suspect_fails_it() -> None:
    suspect = Checked(
        streams=1, tokens=8, worst_gap=3.0, near_ties=0, suspects=("request 1: token 3",)
    )
    assert not report(RIGHT, checked=suspect).good
    assert "1 that the engine would not have written" in verdict(report(RIGHT, checked=suspect))


def test_answers_that_could_not_be_checked_fail_it() -> None:
    found = report(RIGHT, unchecked="no replica could be asked again: gone")
    assert not found.good
    assert verdict(found).endswith("none seems wrong, but no replica could be asked again: gone")


def test_json_has_the_words_that_were_promised() -> None:
    data = msgspec.json.decode(msgspec.json.encode(report(RIGHT, CONTINUED)))
    promised = {
        "begun",
        "whole",
        "continued",
        "failed_loudly",
        "cut_silently",
        "lost",
        "doubled",
        "refused",
        "pause_ms",
    }
    assert promised <= data.keys()
    assert data["pause_ms"] == {"count": 1, "p50": 20.0, "p99": 20.0, "max": 20.0}
    assert data["timeline"][0]["what"] == "SIGKILL"


def test_the_page_says_it_all() -> None:
    console = Console(width=100, record=True, file=open("/dev/null", "w", encoding="utf-8"))  # noqa: PTH123, SIM115 - rich wants a file
    console.print(page(report(RIGHT, CONTINUED, RIGHT[:4])))
    console.file.close()
    text = console.export_text()
    for words_ in (
        "begun",
        "cut silently",
        "longest pause, disturbed",
        "bad: of 3 requests 1 lost",
    ):
        assert words_ in text


def test_the_plot_has_a_row_for_each_step_between() -> None:
    lines = plot([1000.0, 1100.0], [20.0] * 8)
    assert lines[1].lstrip().startswith("18 ms - 32 ms   |" + "." * 39)
    assert lines[-1].lstrip().startswith("1 s - 1.8 s   |##########")
    assert len(lines) == 1 + 8  # four steps to a decade: 18 ms, 32, 56, 100, 180, 320, 560 ms, 1 s
    assert plot([], []) == []


def test_who_was_disturbed() -> None:
    calm, moved = track(seen(an_ask(), RIGHT)), track(seen(an_ask(), CONTINUED))
    assert calm is not None
    assert moved is not None
    assert calm.was_at("chat-1", 0.05)
    assert not calm.was_at("chat-2", 0.05)
    assert not calm.was_at("chat-1", 9.0)
    assert calm.was_at(EVERYBODY, 0.05)
    assert moved.was_at("chat-2", 0.07)
    timeline = Timeline(lambda _: None)
    assert not timeline.disturbed(calm)
    assert timeline.disturbed(moved)
    timeline.hits.append((0.05, "chat-1"))
    assert timeline.disturbed(calm)
