"""What the baseline concludes: the knee, what bounds it, settings, costs; from made-up figures."""

from collections.abc import Sequence

import msgspec
import pytest
from experiment_kit import case, ran

from headrace.bench.answers import Answer
from headrace.bench.run import About, Run
from headrace.experiments.baseline import conclude
from headrace.experiments.baseline_load import ladder
from headrace.experiments.baseline_steps import Point
from headrace.experiments.busy import while_busy
from headrace.experiments.predicted import Predicted


def points(
    tokens: Sequence[float], ttft: Sequence[float] = (), planned: Sequence[float] = ()
) -> list[Point]:
    """Clients 1, 2, 4, … with these throughputs, each twice, one in a hundred apart."""
    return [
        Point(
            clients=2**step,
            repeat=repeat,
            run=ran(
                output_tokens=rate * (1 + repeat / 100),
                requests=rate * (1 + repeat / 100) / 10,
                ttft_p50=0.1,
                ttft_p95=ttft[step] if ttft else 0.2,
                tpot_p50=0.01,
                tpot_p95=0.02,
                prompt_mean=90.0,
                output_mean=10.0,
            ),
            predicted=Predicted(
                requests=1.0, output_tokens=planned[step], ttft=None, tpot=None, label="a guess",
                error=0.5,
            )
            if planned
            else None,
        )
        for step, rate in enumerate(tokens)
        for repeat in (0, 1)
    ]  # fmt: skip


def test_the_knee_is_the_fewest_clients_near_the_best() -> None:
    found = conclude(points([10, 20, 39, 70, 72]), case(ttft=1.2, hourly=3.6, max_num_seqs=8))
    assert found.words[0].startswith(
        "8 requests at once are the most that pay: 70.3 output tokens/s, 7.04 requests/s; with 16"
    )
    assert found.words[1].startswith("one request alone has TTFT p50 100 ms and TPOT p50 10 ms")
    assert found.words[2] == "max_num_seqs 8 is enough (it is 8)"
    # 7.035 requests/s in the 1.0 s that the promise leaves beside 0.2 s.
    assert "may have target 7:" in found.words[3]
    # 0.001 a second over 7.035 requests of 100 tokens a second.
    assert "1,000 such requests cost 0.142 and a million tokens 1.42" in found.words[4]
    assert [(one.setting, one.value) for one in found.supports] == [("max_num_seqs", 8)]
    assert found.figures["knee"].value == 8


def test_a_promise_can_end_it_before_the_engine_is_full() -> None:
    found = conclude(points([10, 20, 39], ttft=[0.1, 0.2, 3.0]), case(ttft=1.0))
    assert found.words[0] == (
        "2 requests at once are the most that pay: 20.1 output tokens/s, 2.01 requests/s; 4 break"
        " the promises (TTFT p95 1 s)"
    )


def test_throughput_that_still_rises_has_no_knee() -> None:
    found = conclude(points([10, 20, 40]), case(max_num_seqs=16))
    assert found.words[0].startswith("no knee up to 4 clients: throughput still rises")
    assert found.words[0].endswith("; measure further with --set most=8")
    assert found.supports == ()
    assert "knee" not in found.figures


def test_who_stopped_it_is_told_to_let_it_run() -> None:
    stopped = msgspec.structs.replace(case(), interrupted=True)
    assert conclude(points([10, 20, 40]), stopped).words[0].endswith(" tokens/s; let it run")


def test_promises_that_nobody_keeps_are_the_answer() -> None:
    found = conclude(points([10], ttft=[3.0]), case(ttft=1.0, tpot=0.5))
    said = (
        "the promises (TTFT p95 1 s, TPOT p95 500 ms) are kept at no number of clients: already"
        " with 1 TTFT p95 is 3 s and TPOT p95 20 ms, 0.0 % failed"
    )
    assert found.words == (said,)
    assert found.supports == ()


def test_the_files_own_value_is_supported_where_it_is_as_good() -> None:
    found = conclude(points([10, 20, 39, 70, 72]), case(max_num_seqs=16))
    assert [one.value for one in found.supports] == [16]


def test_the_plans_error_is_said() -> None:
    found = conclude(points([10, 20, 21], planned=[10.05, 30.15, 21.105]), case())
    assert "off by +50 % at the knee, at worst +50 % with 2 clients" in found.words[-1]
    found = conclude(points([10, 20], planned=[15.075, 20.1]), case())
    assert found.words[-1].endswith("is off by +0.0 % with 2 clients, at worst +50 % with 1 client")


def test_figures_belong_to_the_copy_that_they_were_measured_on() -> None:
    steps = points([10, 20, 39, 70, 72])
    assert list(conclude(steps, case()).variants) == ["as it is"]
    more = [msgspec.structs.replace(one, raised=16 if one.clients > 4 else None) for one in steps]
    found = conclude(more, case(max_num_seqs=4)).variants
    assert found["as it is"]["output tokens"].value == pytest.approx(39 * 1.005)
    assert found["max_num_seqs 16"]["output tokens"].value == pytest.approx(70 * 1.005)


def test_one_repeat_is_a_doubt() -> None:
    once = [one for one in points([10, 20]) if one.repeat == 0]
    assert any("measured once" in doubt for doubt in conclude(once, case()).doubts)


@pytest.mark.parametrize(
    ("most", "limit", "steps"),
    [
        (16, 16, ([1, 2, 4, 8, 16], [])),
        (20, None, ([1, 2, 4, 8, 16], [])),
        (64, 12, ([1, 2, 4, 8, 12], [16, 32, 64])),
        (64, 16, ([1, 2, 4, 8, 16], [32, 64])),
        (1, 1, ([1], [])),
    ],
)
def test_steps_double_up_to_the_limit_and_go_on_beyond(
    most: int, limit: int | None, steps: tuple[list[int], list[int]]
) -> None:
    assert ladder(most, limit) == steps


def test_rates_are_of_the_time_in_which_all_clients_were_busy() -> None:
    # Two clients, four answers of 4 tokens, one a second from the first second on; the last
    # requests are sent at 4 and 5 s. By 5 s two answers are whole, one has all but its last token
    # at 8 s to come, and one nothing: 4 + 4 + 1 + 0 tokens in 5 s.
    def answer(number: int, sent: float) -> Answer:
        return Answer(
            number=number, due=sent, sent=sent, ended=sent + 4, first=sent + 1, last=sent + 4,
            gaps=[1.0, 1.0, 1.0], output_tokens=4,
        )  # fmt: skip

    answers = [answer(0, 0.0), answer(1, 1.0), answer(2, 4.0), answer(3, 5.0)]
    run = Run(About(name="x", address="", model="m", began=""), answers)
    whole = ran(requests=0.4, output_tokens=16 / 9, output_mean=4.0, prompt_mean=6.0, good=0.5)
    found = while_busy(run, whole, 2)
    assert found.output_tokens == pytest.approx(9 / 5)
    assert found.requests == pytest.approx(9 / 20)
    assert found.total_tokens == pytest.approx(9 / 20 * 10)
    assert found.goodput == pytest.approx(9 / 40)
    assert found.in_flight == 2
    # Too few requests for so many clients: as it was.
    assert while_busy(run, whole, 3) == whole


def test_events_of_several_tokens_count_as_many() -> None:
    answers = [
        Answer(
            number=number, due=sent, sent=sent, ended=sent + 2, first=sent + 1, last=sent + 2,
            gaps=[1.0], output_tokens=6,
        )
        for number, sent in enumerate((0.0, 2.0))
    ]  # fmt: skip
    run = Run(About(name="x", address="", model="m", began=""), answers)
    # One client: 12 tokens in 4 s.
    assert while_busy(run, ran(output_mean=6.0), 1).output_tokens == pytest.approx(3)
