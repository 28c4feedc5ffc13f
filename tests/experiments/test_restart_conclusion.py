"""What restart concludes from made-up drills and stops of a bare engine."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import httpx
from experiment_kit import case

from headrace.drill.report import Report, Spread
from headrace.drill.timeline import Deed
from headrace.experiments import direct_stop
from headrace.experiments.direct_stop import Stopped
from headrace.experiments.restart import Point, conclude, went

DEEDS = (
    Deed(at=1.0, who="chat", what="scaled down from 2 to 1"),
    Deed(at=1.5, who="chat-2", what="draining", done=False),
    Deed(at=9.0, who="chat-2", what="gone", done=False),
)


def report(kind: str = "scale-down", **given: Any) -> Report:
    """Ten answers, all whole, three of them disturbed."""
    nothing = {
        "failed_loudly": 0,
        "cut_silently": 0,
        "lost": 0,
        "doubled": 0,
        "broken": 0,
        "refused": 0,
    }
    defaults = {
        "kind": kind, "fleet": "copy", "model": "chat", "engine": "real", "seed": 1,
        "concurrency": 4, "tokens": 128, "seconds": 20.0, "begun": 10, "whole": 10, "continued": 1,
        **nothing, "refused_with": {}, "tokens_missing": 0, "tokens_doubled": 0,
        "pause_ms": Spread(3, 100.0, 200.0, 250.0), "undisturbed_ms": Spread(7, 60.0, 90.0, 95.0),
        "gap_ms": 50.0, "first_token_ms": Spread(10, 1.0, 1.0, 1.0), "pauses": (100.0, 150.0, 250.0),
        "timeline": DEEDS,
    }  # fmt: skip
    return Report(**(defaults | given))


def drilled(kind: str = "scale-down", **given: Any) -> Point:
    return Point(way=kind, drill=report(kind, **given), drain=60, grace=90)


def bare(signal: str = "SIGTERM", **given: Any) -> Point:
    seen: dict[str, Any] = {
        "signal": signal, "streams": 3, "ends": {"came whole": 3}, "ready_for": 5.0,
        "fresh": "got 200 and an empty answer (abort)", "gone": 6.0,
    }  # fmt: skip
    return Point(way=signal, direct=Stopped(**(seen | given)), drain=60, grace=90)


def test_nothing_lost_supports_the_drain() -> None:
    found = conclude([drilled(), drilled("kill", continued=3)], case())
    assert found.words[0] == (
        "stopping a replica of chat under load cost its clients nothing: all 20 answers came whole,"
        " 4 of them continued by another replica"
    )
    assert "the longest pause was 250 ms beside 95 ms of the others" in found.words[1]
    assert "draining took 8 s, within lifecycle.drain (1m)" in found.words[-1]
    (support,) = found.supports
    assert (support.setting, support.value, support.holds) == ("lifecycle.drain", "1m", True)
    assert found.figures["gone after, scale-down"].value == 8.0


def test_lost_answers_are_counted_by_kind_and_speak_against_it() -> None:
    found = conclude([drilled(whole=7, lost=2, refused=1, examples=("2 lost: silence",))], case())
    assert found.words[0].endswith("cost 3 of 10 answers: 1 refused, 2 lost")
    assert not found.supports[0].holds
    assert "scale-down: 2 lost: silence" in found.doubts


def test_a_drain_that_outlasts_its_time_is_said() -> None:
    late = (*DEEDS[:2], Deed(at=71.0, who="chat-2", what="gone", done=False))
    found = conclude([drilled(timeline=late)], case())
    assert "draining took 70 s, beyond lifecycle.drain (1m)" in found.words[-1]
    assert not found.supports[0].holds


def test_a_stop_that_hit_nobody_shows_nothing() -> None:
    found = conclude([drilled(pauses=(), pause_ms=Spread(0), continued=0)], case())
    assert found.words[0].startswith("no stream of chat was on a replica when it stopped")
    assert found.supports == ()
    assert "scale-down: no stream was on the replica that stopped" in found.doubts


def test_a_bare_engine_that_drains_but_calls_itself_healthy() -> None:
    words = conclude([bare()], case()).words
    assert words[0].startswith(
        "without a gateway, SIGTERM to the engine: of 3 streams 3 came whole; /health said 200 for"
        " another 5 s; a new request got 200 and an empty answer (abort)"
    )
    assert words[1] == "so the engine itself lets its streams finish when it is told to stop"
    assert words[2].startswith("it calls itself healthy while it takes no new work")


def test_a_bare_engine_that_cuts_its_streams_needs_something_before_it() -> None:
    cut = bare(ends={"broke off": 2, "came whole": 1}, ready_for=None, gone=None)
    words = conclude([cut], case()).words
    assert "of 3 streams 2 broke off, 1 came whole; /health said 200 no more" in words[0]
    assert words[0].endswith("the process was still there at the end")
    assert words[1].startswith("so the engine itself does not let its streams finish")
    assert len(words) == 2


async def test_a_bare_engine_that_still_answers_is_as_healthy_as_it_says() -> None:
    answer = httpx.Response(200, json={"choices": [{"text": " 3", "finish_reason": "length"}]})
    copy: Any = SimpleNamespace(direct=SimpleNamespace(address="http://x/v1", model="m"))
    async with httpx.AsyncClient(transport=httpx.MockTransport(lambda _: answer)) as http:
        seen = bare(fresh=await direct_stop._fresh(http, copy))
    words = conclude([seen], case()).words
    assert len(words) == 2
    assert "a new request was answered" in words[0]


def test_a_killed_engine_teaches_nothing_about_manners() -> None:
    words = conclude([bare("SIGKILL", ends={"broke off": 3}, ready_for=None)], case()).words
    assert len(words) == 1


def test_drained_is_until_it_stops_though_nobody_saw_it_gone() -> None:
    stops = (*DEEDS[:2], Deed(at=4.0, who="chat-2", what="stopping", done=False))
    found = conclude([drilled(timeline=stops)], case())
    assert "draining took 3 s, within lifecycle.drain (1m)" in found.words[-1]
    assert found.supports[0].says == "10 of 10 answers whole, drained in 3 s"


def test_gone_is_counted_from_the_harm() -> None:
    assert went(report()) == 8.0
    assert went(report(timeline=DEEDS[:2])) is None
    assert went(report(timeline=())) is None
