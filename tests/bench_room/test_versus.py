"""Two runs side by side: what differs is named with its bounds, other loads are refused."""

import pytest
from made_runs_kit import Server, made

from headrace.bench.answers import Failure
from headrace.bench.versus import Comparison, IncomparableError, compare, differing


def row(found: Comparison, name: str) -> str:
    return next(one.words for one in found.rows if one.name == name)


def test_the_same_server_twice_does_not_differ() -> None:
    found = compare(made(count=300), made(count=300, seed=8))  # another seed is the same workload
    assert found.unlike == ()
    assert found.sentences == ("No figure differs by more than chance would make it.",)


def test_a_faster_server_is_told_by_how_much() -> None:
    found = compare(made(count=300), made(count=300, seed=9, server=Server(pace=0.009)))
    sure = [sentence.split(" ")[0] for sentence in found.sentences]
    assert "TPOT" in sure
    assert "TTFT" not in sure
    before, after = (float(word) for word in row(found, "TPOT p50").split(" ")[0:4:3])
    assert after / before == pytest.approx(0.009 / 0.012, rel=0.1)


def test_another_load_is_refused_unless_told() -> None:
    runs = made(count=200), made(count=200, rate=6)
    with pytest.raises(IncomparableError, match=r"workload.arrivals.rate 5.0 and 6\b"):
        compare(*runs)
    assert compare(*runs, anyway=True).unlike == ("workload.arrivals.rate 5.0 and 6",)


def test_how_a_client_is_built_does_not_matter() -> None:
    one, other = made(count=30).about, made(count=30).about
    other.load["workers"], other.workload["seed"] = 4, 99
    assert differing(one, other) == ()
    other.load["temperature"] = 1.0
    assert differing(one, other) == ("load.temperature not set and 1.0",)


def test_failures_differ_too_and_worthless_runs_say_so() -> None:
    found = compare(made(count=300), made(count=300, fail={Failure.RESET: 0.2}))
    assert any(sentence.startswith("answered whole") for sentence in found.sentences)
    assert any(sentence.startswith("kept the promise") for sentence in found.sentences)
    assert len(found.doubts) == 1
    assert "of the requests failed" in found.doubts[0]


def test_a_run_without_answers_has_nothing_to_compare() -> None:
    found = compare(made(count=30, warmup=30), made(count=30, warmup=30))
    assert [one.name for one in found.rows] == ["requests a second", "output tokens a second"]
