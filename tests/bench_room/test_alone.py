"""A promise tighter than one request alone takes is said to be kept at no load."""

from made_runs_kit import answer, made, run_of

from headrace.bench.alone import beyond, never
from headrace.bench.judged import judged


def test_requests_that_were_alone_break_the_promise_by_themselves() -> None:
    one_by_one = run_of([answer(n, n * 1.0) for n in range(30)], slo={"ttft": 0.05, "tpot": 0.05})
    assert list(beyond(one_by_one)) == ["ttft"]
    found = judged(one_by_one).fault
    assert found.verdict.startswith(
        "no load keeps this promise: one request alone takes 100 ms where TTFT within 50 ms is"
    )
    assert not found.findings


def test_who_had_another_beside_it_was_not_alone() -> None:
    # Each takes 0.15 s: pairs that begin 0.1 s apart overlap.
    pairs = run_of([answer(n, n // 2 * 1.0 + n % 2 * 0.1) for n in range(40)], slo={"ttft": 0.05})
    assert beyond(pairs) == {}
    assert round(never(pairs)["ttft"], 6) == 0.1
    assert judged(pairs).fault.verdict.startswith(
        "no answer kept this promise: the fastest took 100 ms"
    )


def test_a_promise_that_load_breaks_is_left_to_its_cause() -> None:
    saturated = made(rate=16, count=600)
    assert beyond(saturated) == never(saturated) == {}
    assert "no load" not in judged(saturated).fault.verdict


def test_a_few_slow_ones_that_were_alone_are_no_reason_where_the_promise_is_kept() -> None:
    busy = [answer(n, n * 0.01) for n in range(200)]
    alone = [answer(200 + n, 10.0 + n, first=10.0 + n + 0.14) for n in range(4)]
    run = run_of([*busy, *alone], slo={"ttft": 0.12})
    assert beyond(run)
    assert "promise" not in judged(run).fault.verdict
