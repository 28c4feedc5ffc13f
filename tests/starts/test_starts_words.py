"""Words about starts: the longest phase with what helps against it, and nothing that the starts do not show."""

from __future__ import annotations

from typing import Any

from starts_kit import a_start

from headrace.starts.start import PHASES, Start
from headrace.starts.summary import summaries
from headrace.starts.words import _HELP, by_name, dominant, sentences, shown


def said(starts: list[Start]) -> list[str]:
    (summary,) = summaries(starts)
    return list(sentences(summary, starts))


def many(**fields: Any) -> list[Start]:
    return [a_start(n + len(fields) * 10, **fields) for n in range(4)]


def test_the_longest_phase_and_its_share() -> None:
    starts = [a_start(n, phases={"import": 6.0, "load": 3.0, "serve": 1.0}) for n in range(3)]
    found = dominant(summaries(starts)[0], starts)
    assert found is not None
    assert (found.phase, found.seconds, found.share) == ("import", 6.0, 0.6)
    assert said(starts)[0].startswith(
        "import takes 6.0 s, 60% of it: each of the engine's processes imports"
    )


def test_an_import_that_is_shared_already_cannot_be_shared_again() -> None:
    assert "only a warm replica is sooner" in said(many(quick=True))[0]


def test_there_is_a_word_for_every_phase() -> None:
    assert set(_HELP) | {"import"} == set(PHASES)


def test_starts_beside_others_are_compared_when_there_are_enough() -> None:
    alone = [a_start(n, phases={"import": 10.0}) for n in range(3)]
    crowd = [a_start(n + 10, phases={"import": 18.0}, beside=1) for n in range(3)]
    assert (
        said(alone + crowd)[1]
        == "starts beside other starts take 18.0 s instead of 10.0 s (3 and 3 starts)"
    )
    assert len(said(alone + crowd[:2])) == 1
    same = [a_start(n + 10, phases={"import": 11.0}, beside=1) for n in range(3)]
    assert len(said(alone + same)) == 1


def test_weights_in_the_page_cache_are_compared_with_weights_on_the_disk() -> None:
    warm = [a_start(n, phases={"import": 9.0, "load": 1.0}, resident=1.0) for n in range(3)]
    cold = [a_start(n + 10, phases={"import": 9.0, "load": 5.0}, resident=0.0) for n in range(3)]
    unknown = [a_start(20, phases={"import": 9.0, "load": 90.0})]
    half = [a_start(21, phases={"import": 9.0, "load": 90.0}, resident=0.7)]
    expected = "with the weights not in the page cache, loading takes 5.0 s instead of 1.0 s (3 and 3 starts)"
    assert expected in said(warm + cold + unknown + half)


def test_failures_are_told_with_the_last_one() -> None:
    starts = [a_start(0), a_start(1, outcome="failed", ended_in="load", why="no memory")]
    assert said(starts)[-1] == (
        "1 of 2 failed, the last at 2026-11-28T10:00:01 in phase 'load': no memory"
    )


def test_what_never_got_ready_has_no_longest_phase() -> None:
    starts = [a_start(1, outcome="failed", phases={"import": 3.0})]
    assert dominant(summaries(starts)[0], starts) is None
    assert len(said(starts)) == 1


def test_rows_for_people_leave_out_what_took_no_time() -> None:
    (summary,) = summaries([a_start(0, phases={"weights": 0.01, "import": 5.0, "serve": 0.0})])
    assert [name for name, _ in shown(by_name(summary))] == ["import", "total"]
    (summary,) = summaries([a_start(0, phases={"weights": 7.0, "import": 5.0})])
    assert [name for name, _ in by_name(summary)] == [
        "weights",
        "import",
        "total",
        "without preparing",
    ]
