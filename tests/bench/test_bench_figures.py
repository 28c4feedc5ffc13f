from bench.figures import BIG_GAP, CPU_PER_CHUNK, compare, over_repeats
from bench.measure import Measurement
from bench.messages import BackendReport, Outcome, Quantiles
from bench.report import Report, markdown
from bench.stats import Repeats
from bench.together import Together
from bench.verdict import verdicts


def measured(
    contender: str,
    repeat: int,
    *,
    scenario: str = "streams-200",
    cpu: float = 0.0,
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


def at_once(scenario: str, ours: float, theirs: float, invalid: str = "") -> Together:
    each = {"headrace": ours * 1e-6, "vllm-router": theirs * 1e-6}
    return Together(scenario=scenario, repeat=0, costs=each, late=0.0, invalid=invalid)


def test_verdicts() -> None:
    # 14 / 16 = 0.875 and 15 / 16 = 0.9375; the one with an error is not used.
    chunks = [at_once("passing-200", ours, 16) for ours in (14, 15)]
    chunks.append(at_once("passing-200", 99, 1, "1 x timeout"))
    answers = [at_once("streams-200", 32, theirs) for theirs in (25, 25, 20)]
    slow = gaps("direct", 0.021, 0.021) + gaps("headrace", 0.0271, 0.0272)
    alone, with_requests, gap = map(str, verdicts(slow, chunks + answers))
    assert alone == (
        "PASS: CPU per chunk passed on, headrace/vllm-router = 0.91x (0.88 to 0.94), 14.5 against "
        "16.0 us where both run at once on one core, median of 2 (must be <= 1.0)"
    )
    assert with_requests == (
        "FAIL: CPU per chunk, a request with every 100 of them, headrace/vllm-router = 1.28x "
        "(1.28 to 1.60), 32.0 against 25.0 us where both run at once on one core, median of 3 "
        "(must be <= 1.0)"
    )
    assert gap.startswith("FAIL: largest gap")
    late = gaps("direct", 0.021, 0.021, lag=0.002) + gaps("headrace", 0.0271, 0.0272)
    assert str(verdicts(late, [])[2]).startswith("NOT MEASURED: largest gap")
    assert [verdict.kept for verdict in verdicts([], [])] == [None, None, None]


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
            together=[at_once("passing-200", 14, 16, "2 x timeout")],
            verdicts=[str(verdict) for verdict in verdicts(runs, [])],
        )
    )
    row = "| CPU per million chunks, 200 streams (s) | 18.5 ±1.0 |"
    assert f"{row} not found (apt-get install nginx) | no usable run |" in text
    assert "not used: streams-200 vllm-router, repeat 1: errors: 2 x 503" in text
    assert "not used: passing-200, all at once, repeat 1: 2 x timeout" in text
    assert "NOT MEASURED: CPU per chunk" in text
