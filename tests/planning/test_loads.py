"""What each route asks of a deployment, and what several of them ask together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as checks
from hypothesis import strategies as st
from plan_kit import fleet, text_of

from headrace.capacity.slo import Slo
from headrace.planning.errors import PlanError
from headrace.planning.loads import Load, loads_of, together
from headrace.traffic.declared import declare
from headrace.traffic.traffic import Traffic

TWO = """\
fleet: f
models: {m: {weights: "file:///m"}}
hardware: {h: {kind: gpu, product: H100}}
deployments:
  a: {model: m, hardware: h}
  b: {model: m, hardware: h}
routes:
  r: {match: {model: [x]}, traffic: {rate: 8}, %s}
  rest: {match: {}, deployment: a}
"""


def share(folder: Path, route: str, deployment: str) -> tuple[Load, ...]:
    return tuple(
        one for one in loads_of(text_of(folder, TWO % route), deployment) if one.route == "r"
    )


def load(rate: float | None, prompt: int, output: int) -> Load:
    traffic = declare(rate or 1.0, prompt, prompt, output, output, count=4000)
    return Load("r", traffic, rate, Slo(1, 1))


def recorded(arrivals: list[float], prompt: int = 10) -> Traffic:
    count = len(arrivals)
    return Traffic(np.array(arrivals), np.full(count, prompt), np.full(count, 5), "trace.csv")


def test_variants_share_a_route_by_weight(tmp_path: Path) -> None:
    route = "variants: [{deployment: a, weight: 3}, {deployment: b, weight: 1}]"
    for deployment, rate in (("a", 6.0), ("b", 2.0)):
        (one,) = share(tmp_path, route, deployment)
        assert one.rate == pytest.approx(rate)
        assert one.traffic.rate == pytest.approx(rate)


@pytest.mark.parametrize(
    "route", ["deployment: a", "variants: [{deployment: a, weight: 1}, {deployment: b, weight: 0}]"]
)
def test_a_shadow_gets_its_share_of_copies(tmp_path: Path, route: str) -> None:
    (one,) = share(tmp_path, f"{route}, shadow: {{deployment: b, share: 0.25}}", "b")
    assert one.rate == pytest.approx(2.0)
    (original,) = share(tmp_path, "deployment: a, shadow: {deployment: b, share: 0.25}", "a")
    assert original.rate == pytest.approx(8.0)


@pytest.mark.parametrize(
    "route",
    [
        "deployment: a, overflow: [{deployment: b, when: [queue]}]",
        "variants: [{deployment: a, weight: 1}, {deployment: b, weight: 0}]",
    ],
)
def test_what_gets_requests_only_in_need_is_planned_without_a_rate(
    tmp_path: Path, route: str
) -> None:
    (one,) = share(tmp_path, route, "b")
    assert one.rate is None
    assert "in need" in one.unknown


def test_overflow_adds_nothing_to_a_deployment_with_requests_of_its_own(tmp_path: Path) -> None:
    route = "deployment: b, overflow: [{deployment: a, when: [queue]}]"
    names = [one.route for one in loads_of(text_of(tmp_path, TWO % route), "a")]
    assert names == ["rest"]


def test_a_trace_is_looked_for_beside_the_fleet_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "traces").mkdir()
    (tmp_path / "traces" / "t.csv").write_text("arrival,prompt,output\n0,10,5\n1,20,6\n3,30,7\n")
    monkeypatch.chdir("/")
    (one,) = loads_of(fleet(tmp_path, route="traffic: {trace: traces/t.csv}"), "d")
    assert one.traffic.prompts.tolist() == [10, 20, 30]
    assert one.rate == pytest.approx(2 / 3)  # two gaps in three seconds
    assert (one.assumed, one.unknown) == ("", "")


def test_a_trace_is_paced_to_a_declared_rate(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("arrival,prompt,output\n0,10,5\n1,20,6\n3,30,7\n")
    (one,) = loads_of(fleet(tmp_path, route="traffic: {trace: t.csv, rate: 2}"), "d")
    assert one.rate == 2
    assert one.traffic.arrivals.tolist() == pytest.approx([0, 1 / 3, 1])  # three times as fast
    assert one.traffic.outputs.tolist() == [5, 6, 7]


def test_a_trace_in_which_all_come_at_once_has_no_rate_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("arrival,prompt,output\n4,10,5\n4,20,6\n4,30,7\n")
    (one,) = loads_of(fleet(tmp_path, route="traffic: {trace: t.csv}"), "d")
    assert one.rate is None
    (paced,) = loads_of(fleet(tmp_path, route="traffic: {trace: t.csv, rate: 2}"), "d")
    assert paced.traffic.arrivals.tolist() == [0, 0.5, 1]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file"),
        ("arrival,prompt,output\n0,10,-5\n", "t.csv"),
        ("arrival,prompt\n0,10\n", "output"),
    ],
)
def test_a_trace_that_is_none_names_its_route(
    tmp_path: Path, content: str | None, words: str
) -> None:
    if content is not None:
        (tmp_path / "t.csv").write_text(content)
    with pytest.raises(PlanError, match=r"^routes\.r\.traffic: ") as caught:
        loads_of(fleet(tmp_path, route="traffic: {trace: t.csv}"), "d")
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("route", "assumed", "prompt", "output"),
    [
        (
            "",
            "no lengths of prompts and answers: those of Azure's conversations of 2023",
            1020,
            129,
        ),
        ("traffic: {rate: 1}", "no lengths of prompts and answers: those of Azure", 1020, 129),
        (
            "workload: long-context",
            "no lengths of prompts and answers: those of Mooncake",
            6909,
            350,
        ),
        ("traffic: {prompt: {p50: 7, p99: 9}}", "no lengths of answers: those of Azure", 7, 129),
        ("traffic: {output: {p50: 7, p99: 9}}", "no lengths of prompts: those of Azure", 1020, 7),
    ],
)
def test_lengths_that_are_not_declared_are_somebodys(
    tmp_path: Path, route: str, assumed: str, prompt: int, output: int
) -> None:
    (one,) = loads_of(fleet(tmp_path, route=route), "d")
    assert one.assumed.startswith(assumed)
    assert int(np.quantile(one.traffic.prompts, 0.5, method="inverted_cdf")) == prompt
    assert int(np.quantile(one.traffic.outputs, 0.5, method="inverted_cdf")) == output
    assert (one.rate is None) == ("rate" not in route)
    assert ("no rate" in one.unknown) == (one.rate is None)


@pytest.mark.parametrize("slo", ["{ttft: 0s}", "{tpot: 0ms}"])
def test_a_promise_of_nothing_names_its_route(tmp_path: Path, slo: str) -> None:
    with pytest.raises(PlanError, match=r"^routes\.r\.slo: .*above 0"):
        loads_of(fleet(tmp_path, route=f"slo: {slo}"), "d")


def test_one_load_is_its_own_traffic() -> None:
    one = load(3.0, 100, 10)
    assert together((one,)) is one.traffic


def test_several_routes_keep_their_rates_and_lengths() -> None:
    made = together((load(9.0, 100, 10), load(1.0, 1000, 50)))
    assert made.rate == pytest.approx(10, rel=0.01)
    assert made.prompts.mean() == pytest.approx((9 * 100 + 1 * 1000) / 10, rel=0.01)
    assert made.outputs.mean() == pytest.approx((9 * 10 + 1 * 50) / 10, rel=0.01)
    assert (np.diff(made.arrivals) >= 0).all()


def test_a_rare_route_is_there_and_does_not_count_for_more_than_it_is() -> None:
    made = together((load(10.0, 100, 10), load(0.01, 50_000, 10)))
    assert (made.prompts == 50_000).mean() == pytest.approx(0.01 / 10.01, rel=0.02)
    assert (made.prompts == 50_000).sum() >= 99
    rarer = together((load(100.0, 100, 10), load(1e-6, 50_000, 10)))
    assert (rarer.prompts == 50_000).sum() == 1
    assert rarer.count < 110_000


def test_routes_without_a_rate_count_as_alike() -> None:
    made = together((load(None, 100, 10), load(None, 300, 10)))
    assert made.prompts.mean() == pytest.approx(200, rel=0.01)


def test_a_short_trace_is_repeated_at_its_own_rate() -> None:
    short = Load("s", recorded([float(n) for n in range(10)]), 1.0, Slo(1, 1))
    long = Load("l", recorded([float(n) for n in range(300)], 90), 1.0, Slo(1, 1))
    made = together((short, long))
    # 200 requests of each take 200 s, and one more of each is at the end.
    assert ((made.prompts == 10).sum(), (made.prompts == 90).sum()) == (201, 201)
    assert made.arrivals[-1] == 200
    assert not np.any(np.bincount(made.arrivals.astype(int)) != 2)  # no clump anywhere


def test_long_traces_are_used_as_far_as_all_of_them_go() -> None:
    loads = tuple(
        Load(str(n), recorded([float(t) for t in range(n)]), 1.0, Slo(1, 1)) for n in (1000, 3000)
    )
    made = together(loads)
    assert (made.duration, made.count) == (999, 2000)  # of the longer one the first 999 s


@checks(max_examples=15)
@given(rates=st.lists(st.floats(0.05, 50), min_size=2, max_size=4))
def test_the_mix_is_the_mix_of_the_rates(rates: list[float]) -> None:
    lengths = [100 * 3**n for n in range(len(rates))]
    made = together(
        tuple(load(rate, length, 10) for rate, length in zip(rates, lengths, strict=True))
    )
    for rate, length in zip(rates, lengths, strict=True):
        expected = made.count * rate / sum(rates)
        assert (made.prompts == length).sum() == pytest.approx(expected, rel=0.01, abs=1)
