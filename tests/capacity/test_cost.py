"""Money by hand: hours of 3,600 s, requests in thousands, tokens in millions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.capacity.cost import RouteLoad, Seconds, by_route, cost


def test_eight_times_cheaper_from_software_alone() -> None:
    # one A100 at $3 an hour: 3 / (5 * 3600) * 1000 and 3 / (40 * 3600) * 1000
    plain, batched = cost(3, 5, 500, 200), cost(3, 40, 500, 200)
    assert plain.thousand_requests == pytest.approx(1 / 6)
    assert batched.thousand_requests == pytest.approx(1 / 48)
    assert (round(plain.thousand_requests, 4), round(batched.thousand_requests, 4)) == (
        0.1667,
        0.0208,
    )
    assert plain.thousand_requests / batched.thousand_requests == pytest.approx(8)


def test_tokens_cost_by_the_million() -> None:
    # 1 request/s of 700 tokens: 2.52 million tokens an hour, 0.72 million of them answers
    made = cost(2.52, 1, 500, 200)
    assert made.million_tokens == pytest.approx(1.0)
    assert made.million_answer == pytest.approx(3.5)
    assert cost(1, 1, 5, 0).million_answer == 0


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan")])
def test_without_requests_none_has_a_cost(rate: float) -> None:
    with pytest.raises(ValueError, match="declare a rate above 0"):
        cost(3, rate, 1, 1)


def test_a_route_pays_for_the_accelerator_time_it_takes() -> None:
    # chat 2/s * (100 * 1 ms + 100 * 9 ms) = 2 s, summary 1/s * (6000 * 1 ms + 0) = 6 s of 8 s
    loads = [RouteLoad("chat", 2, 100, 100), RouteLoad("summary", 1, 6000, 0)]
    costs = by_route(8, loads, Seconds(0.001, 0.009))
    assert costs["chat"].hour == pytest.approx(2)
    assert costs["summary"].hour == pytest.approx(6)
    assert costs["chat"].thousand_requests == pytest.approx(2 / 7.2)


def test_what_the_prefix_cache_has_is_not_paid() -> None:
    loads = [RouteLoad("new", 1, 1000, 0), RouteLoad("seen", 1, 1000, 0, cached=0.75)]
    costs = by_route(5, loads, Seconds(1, 1))
    assert (costs["new"].hour, costs["seen"].hour) == (pytest.approx(4), pytest.approx(1))


def test_a_route_that_nobody_asks_is_left_out() -> None:
    loads = [RouteLoad("busy", 1, 1, 1), RouteLoad("idle", 0, 1, 1)]
    assert list(by_route(1, loads, Seconds(1, 1))) == ["busy"]
    assert by_route(1, loads[1:], Seconds(1, 1)) == {}


@given(
    st.lists(
        st.tuples(st.floats(0.01, 100), st.floats(1, 1e5), st.floats(0, 1e4)),
        min_size=1,
        max_size=5,
    )
)
def test_the_routes_pay_the_bill_and_no_more(parts: list[tuple[float, float, float]]) -> None:
    loads = [RouteLoad(str(i), *part) for i, part in enumerate(parts)]
    costs = by_route(10, loads, Seconds(1e-4, 1e-3))
    assert sum(one.hour for one in costs.values()) == pytest.approx(10)
