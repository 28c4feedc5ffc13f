"""What shapes concludes: costs of kinds and tokens, who makes short requests wait; made-up figures."""

import itertools

import pytest
from experiment_kit import case, ran

from headrace.bench.asks import Ask
from headrace.experiments.shapes import conclude
from headrace.experiments.shapes_load import Settings, merged, short_rate
from headrace.experiments.shapes_points import Arm, Kind, Point, costs_of

LENGTHS = {Kind.SHORT: (50.0, 10.0), Kind.ANSWER: (50.0, 110.0), Kind.PROMPT: (1050.0, 30.0)}
COSTS = {Kind.SHORT: 0.1, Kind.ANSWER: 0.6, Kind.PROMPT: 1.2}
"""Engine seconds: 5 ms for a token of an answer, so 1 ms for one of a prompt."""


def kinds() -> list[Point]:
    return [
        Point(
            kind=kind, repeat=0,
            run=ran(requests=1 / COSTS[kind], prompt_mean=prompt, output_mean=output),
        )
        for kind, (prompt, output) in LENGTHS.items()
    ]  # fmt: skip


def arms(**factors: float) -> list[Point]:
    """Short requests of 100 to 139 ms alone, so many times that in the other arms."""
    times = {Arm.ALONE: 1.0, Arm.ANSWERS: 1.0, Arm.PROMPTS: 1.0, Arm.BOTH: 1.0}
    times |= {Arm[name]: factor for name, factor in factors.items()}
    return [
        Point(
            arm=arm, repeat=0, rate=2.0, run=ran(),
            ttft=tuple(factor * (0.1 + 0.001 * ((7 * n) % 40)) for n in range(40)),
            tpot=tuple(0.01 + 0.0001 * ((3 * n) % 40) for n in range(40)),
        )
        for arm, factor in times.items()
    ]  # fmt: skip


def test_costs_are_divided_among_answers_and_prompts() -> None:
    found = costs_of(kinds())
    assert found is not None
    assert found.answer_token == pytest.approx(0.005)  # (0.6 - 0.1) / 100
    assert found.prompt_token == pytest.approx(0.001)  # (1.2 - 0.1 - 20 * 0.005) / 1000
    assert found.prefill_share == pytest.approx(1.05 / 1.2)
    assert costs_of(kinds()[:2]) is None


def test_the_rate_keeps_the_engine_busy_for_the_share_that_is_asked() -> None:
    found = costs_of(kinds())
    assert found is not None
    rate = short_rate(found, Settings(load=0.5, mix=4))
    # Each short request brings a quarter of a long answer and of a long prompt.
    assert rate * (0.1 + 0.6 / 4 + 1.2 / 4) == pytest.approx(0.5)


def test_who_hurts_is_named_with_figures_and_advice() -> None:
    found = conclude([*kinds(), *arms(PROMPTS=3.0, BOTH=3.0)], case())
    assert found.words[0].startswith("short requests suffer beside long prompts and beside both")
    assert "TTFT p95 137 ms -> 411 ms, +200 %" in found.words[0]
    assert "long/moderate is the expensive kind" in found.words[1]
    assert "short/long as much as 6, long/moderate as much as 12" in found.words[1]
    assert "one token of an answer takes as much as 5 of a prompt" in found.words[2]
    assert "smaller max_num_batched_tokens" in found.words[-1]


@pytest.mark.parametrize(
    ("factors", "advice"),
    [
        ({"ANSWERS": 2.0, "PROMPTS": 2.0}, "both hurt"),
        ({"ANSWERS": 2.0}, "decoding is the expensive path"),
        ({"BOTH": 2.0}, "the replica is simply full"),
        ({}, "one route for all of them will do for chat"),
    ],
)
def test_the_advice_follows_from_who_hurts(factors: dict[str, float], advice: str) -> None:
    assert advice in conclude([*kinds(), *arms(**factors)], case()).words[-1]


def test_a_small_change_is_no_suffering() -> None:
    found = conclude([*kinds(), *arms(BOTH=1.1)], case())
    assert found.words[0].startswith(
        "short requests do not surely suffer beside longer ones at this load, by 25 % or more; the"
    )
    assert "+10 %" in found.words[0]


def test_what_was_stopped_before_the_mix_says_so() -> None:
    found = conclude(kinds(), case(interrupted=True))
    assert found.words[0].startswith("short requests were not measured beside others")
    assert "is the expensive kind" in found.words[1]


def test_loads_are_merged_by_their_times() -> None:
    def asks(*times: float) -> list[Ask]:
        return [Ask(number=n, prompt="x", max_tokens=1, at=at) for n, at in enumerate(times)]

    together = merged([asks(0.0, 2.0), asks(0.5, 1.0, 3.0)])
    assert [one.at for one in together] == [0.0, 0.5, 1.0, 2.0, 3.0]
    assert [one.number for one in together] == list(range(5))
    assert all(a.number < b.number for a, b in itertools.pairwise(together))
