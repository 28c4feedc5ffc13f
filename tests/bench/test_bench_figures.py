import pytest
from bench.figures import BIG_GAP, CPU_PER_CHUNK, PASSING, compare, over_repeats
from bench.measure import Measurement, passing
from bench.messages import BackendReport, Outcome, Quantiles
from bench.plan import SCENARIOS
from bench.processes import MeasureError
from bench.report import Report, markdown
from bench.stats import Repeats
from bench.verdict import verdicts


def measured(
    contender: str,
    repeat: int,
    *,
    scenario: str = "streams-200",
    cpu: float = 0.0,
    passing: float = 0.0,
    gap_max: float = 0.0,
    lag: float = 0.0,
    errors: dict[str, int] | None = None,
) -> Measurement:
    none = Quantiles()
    return Measurement(
        scenario=scenario,
        contender=contender,
        repeat=repeat,
        gap=0.02,
        outcome=Outcome(
            requests=1000,
            chunks=100_000,
            reads=100_000,
            most_open=200,
            ttft=none,
            gaps=Quantiles(max=gap_max),
            latency=none,
            lag_p99=lag,
            errors=errors or {},
        ),
        backend=BackendReport(1000, 100_000, 0.0),
        cpu=cpu,
        passing=passing,
        rss_before=0,
        rss_most=0,
        same_processes=True,
    )


def costs(contender: str, *cpu: float) -> list[Measurement]:
    return [measured(contender, repeat, cpu=seconds) for repeat, seconds in enumerate(cpu)]


def gaps(contender: str, *most: float, lag: float = 0.0) -> list[Measurement]:
    return [
        measured(contender, repeat, scenario="big-prompts", gap_max=seconds, lag=lag)
        for repeat, seconds in enumerate(most)
    ]


def test_cpu_per_million_chunks() -> None:
    # 2.4 s for 100,000 chunks are 24 s for a million.
    found = over_repeats(CPU_PER_CHUNK, costs("nginx", 2.4), "nginx")
    assert found is not None
    assert abs(found.median - 24.0) < 1e-9


def test_runs_with_errors_or_a_very_late_load_are_left_out() -> None:
    runs = [
        measured("nginx", 0, cpu=2.0),
        measured("nginx", 1, cpu=9.0, errors={"connection lost": 1}),
        measured("nginx", 2, cpu=9.0, lag=0.0051),
    ]
    assert over_repeats(CPU_PER_CHUNK, runs, "nginx") == Repeats((20.0,))
    assert over_repeats(CPU_PER_CHUNK, runs[1:], "nginx") is None


def test_times_come_from_repeats_on_time_and_else_are_marked() -> None:
    on_time = gaps("direct", 0.021, 0.022) + gaps("headrace", 0.023, 0.026)
    found = over_repeats(BIG_GAP, on_time, "headrace")
    assert found is not None
    assert (round(found.median, 6), found.late) == (3.0, False)  # 2 ms and 4 ms
    late = gaps("direct", 0.021, lag=0.002) + gaps("headrace", 0.023)
    found = over_repeats(BIG_GAP, late, "headrace")
    assert found is not None
    assert (round(found.median, 6), found.late) == (2.0, True)


def test_comparison() -> None:
    runs = costs("headrace", 1.8, 1.9, 2.0) + costs("vllm-router", 2.3, 2.4, 2.5)
    found = compare(CPU_PER_CHUNK, runs, "headrace", "vllm-router")
    assert found is not None
    assert round(found.ratio, 3) == round(1.9 / 2.4, 3)
    assert not found.inconclusive  # 5 s apart, spread 2 s
    assert compare(CPU_PER_CHUNK, runs, "headrace", "nginx") is None


def test_chunks_passed_on_are_counted_while_all_streams_are_open() -> None:
    # 200 streams, one chunk each in 20 ms: 10,000 a second. All are open from 0.5 to 6 s; of that
    # 0.8 to 5.7 s are looked at, where each second costs 150 ms. What is outside is not.
    scenario = next(one for one in SCENARIOS if one.name == PASSING.scenario)
    seen = [(0.5, 0.0)] + [(1 + n / 10, 2 + 0.15 * n / 10) for n in range(47)] + [(5.8, 99.0)]
    assert round(passing(scenario, seen) * 1e6, 6) == 15.0
    with pytest.raises(MeasureError, match="hardly looked at"):
        passing(scenario, seen[:6])


@pytest.mark.parametrize("name", ["streams-200", "big-prompts", "requests"])
def test_where_requests_come_and_go_no_time_is_of_chunks_alone(name: str) -> None:
    assert next(one for one in SCENARIOS if one.name == name).passing is None


def test_verdicts() -> None:
    good = costs("headrace", 1.8, 1.9) + costs("vllm-router", 2.3, 2.4)
    assert str(verdicts(good)[1]) == (
        "PASS: CPU per chunk, a request with every 100 of them, headrace/vllm-router = 0.79x, the "
        "median of 2 repeats of both (must be <= 1.0); 2 of them at or below it: 0.78, 0.79"
    )
    bad = costs("headrace", 2.0, 3.0) + costs("vllm-router", 2.3, 2.4)
    assert str(verdicts(bad)[1]) == (
        "FAIL: CPU per chunk, a request with every 100 of them, headrace/vllm-router = 1.06x, the "
        "median of 2 repeats of both (must be <= 1.0); 1 of them at or below it: 0.87, 1.25"
    )
    open_streams = [
        measured(name, 0, scenario="passing-200", passing=seconds)
        for name, seconds in (("headrace", 14e-6), ("vllm-router", 16e-6))
    ]
    assert str(verdicts(open_streams)[0]).startswith(
        "PASS: CPU per chunk passed on, headrace/vllm-router = 0.88x"
    )
    slow = gaps("direct", 0.021, 0.021) + gaps("headrace", 0.0271, 0.0272)
    assert str(verdicts(slow)[2]).startswith("FAIL: largest gap")
    late = gaps("direct", 0.021, 0.021, lag=0.002) + gaps("headrace", 0.0271, 0.0272)
    assert str(verdicts(late)[2]).startswith("NOT MEASURED: largest gap")
    assert [verdict.kept for verdict in verdicts([])] == [None, None, None]


def test_the_report_says_who_is_absent_and_what_was_not_used() -> None:
    runs = [*costs("headrace", 1.9, 1.8), measured("vllm-router", 0, errors={"503": 2})]
    text = markdown(
        Report(
            started="2026-11-02T10:00:00+00:00",
            machine="a machine",
            cores="cores",
            versions={},
            repeats=2,
            quick=False,
            absent={"nginx": "not found (apt-get install nginx)"},
            measurements=runs,
            dropped=[],
            failures=[],
            verdicts=[str(verdict) for verdict in verdicts(runs)],
        )
    )
    row = "| CPU per million chunks, 200 streams (s) | 18.5 ±1.0 |"
    assert f"{row} not found (apt-get install nginx) | no usable run |" in text
    assert "not used: streams-200 vllm-router, repeat 1: errors: 2 x 503" in text
    assert "NOT MEASURED: CPU per chunk" in text
