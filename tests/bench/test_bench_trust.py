"""The comparison with vLLM's own benchmark, and what the load generator costs: their arithmetic."""

from __future__ import annotations

import numpy as np
import pytest
from bench.load.__main__ import CLIENTS, run, server
from bench.load.seen import Order
from bench.trust.compare import agreements, delivery
from bench.trust.plan import Plan, Times
from bench.trust.theirs import _read

PLAN = Plan(seed=3, requests=50, rate=5.0, burstiness=0.5, tokens=3)


def test_arrivals_are_those_that_vllms_benchmark_draws() -> None:
    random = np.random.RandomState(3)  # theirs: np.random.seed(seed), one draw after the other
    gaps = random.gamma(shape=0.5, scale=1 / (5.0 * 0.5), size=50)
    want = np.cumsum(gaps) * (50 / 5.0) / gaps.sum()
    assert PLAN.due == pytest.approx(list(want))
    assert PLAN.due[-1] == pytest.approx(10.0)


def test_prompts_are_the_same_for_both_and_others_in_every_repeat() -> None:
    assert PLAN.prompts == PLAN.prompts
    assert len(set(PLAN.prompts)) == 50
    assert not set(PLAN.prompts) & set(Plan(4, 50, 5.0, 0.5, 3).prompts)


def test_percentiles_are_compared_over_all_repeats() -> None:
    theirs = [Times([1.0, 2.0], [0.1, 0.1], []), Times([3.0], [0.1], [])]
    ours = [Times([1.1, 2.2], [0.1, 0.1], []), Times([3.3], [0.1], [])]
    ttft50, ttft95, tpot50, _ = agreements(ours, theirs)
    assert (ttft50.ours, ttft50.theirs) == (2.2, 2.0)
    assert ttft50.share == pytest.approx(0.1)
    assert ttft95.theirs == pytest.approx(2.9)
    assert (ttft50.agrees, tpot50.agrees) == (False, True)
    assert ttft50.low == pytest.approx(0.1), "each request is a tenth slower, whatever is drawn"


def test_what_left_when_it_was_due_is_zero_off() -> None:
    late = np.array(PLAN.due) - PLAN.due[0]
    late[10:] += 0.002
    found = delivery([PLAN], [Times([], [], list(late))])
    assert found.p50 == pytest.approx(0.002)
    assert found.rate == pytest.approx(
        (PLAN.due[-1] - PLAN.due[0]) / (PLAN.due[-1] - PLAN.due[0] + 0.002)
    )


def test_their_file_is_read_by_their_definitions() -> None:
    found = {
        "ttfts": [0.5, 0.6],
        "itls": [[0.1, 0.3], [0.2, 0.2]],
        "start_times": [7.0, 9.0],
        "errors": ["", ""],
    }
    times = _read(found, PLAN)
    assert times == Times(ttft=[0.5, 0.6], tpot=[0.2, 0.2], sent=[0.0, 2.0])
    with pytest.raises(RuntimeError, match="1 of its requests failed, the first: broken"):
        _read(found | {"errors": ["", "broken"]}, PLAN)


def test_all_clients_see_every_token_and_ours_costs_least() -> None:
    with server(0.005) as port:
        seen = {name: run(name, Order(port, 8, 40, 4)) for name in CLIENTS}
    for one in seen.values():
        assert (one.requests, one.chunks) == (8, 320)
        assert 0 <= one.late_p50 <= one.late_p99
    assert seen["headrace"].cpu < min(seen["httpx"].cpu, seen["openai"].cpu)
