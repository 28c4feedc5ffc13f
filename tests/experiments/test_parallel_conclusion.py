"""What parallel concludes: it pays, it does not, a layout is impossible; and which are tried."""

from __future__ import annotations

from pathlib import Path

import pytest
from experiment_kit import case, ran, write_twins

from headrace.experiments.change import AS_IT_IS
from headrace.experiments.parallel import Point, conclude
from headrace.experiments.parallel_load import Settings, candidates
from headrace.experiments.predicted import Predicted
from headrace.fleet.load import load_fleet


def runs(
    label: str, rate: float, *, tensor: int = 1, noise: float = 0.01, cores: int | None = None
) -> list[Point]:
    return [
        Point(
            label=label, tensor=tensor, repeat=n, memory=tensor * 2**30, started=10.0, cores=cores,
            figures=ran(output_tokens=rate * off, ttft_p50=0.1, tpot_p50=1 / rate),
        )
        for n, off in enumerate((1 - noise, 1, 1, 1 + noise))
    ]  # fmt: skip


BASE = runs(AS_IT_IS.label, 100)


def test_a_loss_on_shared_cores_says_stay_with_one_rank() -> None:
    found = conclude([*BASE, *runs("TP3", 40, tensor=3, cores=2)], case())
    assert found.words[0] == (
        "one rank is faster here (TP3 -60 % tokens/s): stay with it as long as the model fits"
    )
    assert "3 ranks, 3.0 GiB of memory, ready after 10 s" in found.words[1]
    assert "the 3 ranks of TP3 share 2 cores and wait for each other" in found.doubts
    held = {(one.setting, one.value): one.holds for one in found.supports}
    assert held == {("tensor_parallel", 3): False, ("tensor_parallel", 1): True}


@pytest.mark.parametrize(
    ("rate", "words"),
    [
        (
            160,
            "it shortens an answer, but 2 replicas of one rank on as many accelerators would have up to 2 times",
        ),
        (230, "more than 2 replicas of one rank would have, so it pays"),
    ],
)
def test_a_gain_is_held_against_replicas_on_as_many_accelerators(rate: float, words: str) -> None:
    found = conclude([*BASE, *runs("TP2", rate, tensor=2)], case())
    assert found.words[0].startswith(f"TP2 has {rate / 100:.2f} times the tokens/s of one rank: ")
    assert words in found.words[0]
    assert found.supports[0].holds


def test_what_is_within_the_noise_is_no_gain() -> None:
    found = conclude([*BASE, *runs("TP2", 110, tensor=2, noise=0.4)], case())
    assert found.words[0] == "no certain difference was found; one rank is the cheaper one"
    assert found.supports == ()


def test_tokens_that_certainly_take_longer_are_a_loss_where_the_rate_leaves_it_open() -> None:
    noisy = [
        Point(
            label="TP3", tensor=3, repeat=n,
            figures=ran(output_tokens=100 * off, ttft_p50=0.1, tpot_p50=0.025),
        )
        for n, off in enumerate((0.3, 0.5, 1.1, 0.9))
    ]  # fmt: skip
    found = conclude([*BASE, *noisy], case())
    assert found.words[0].startswith("one rank is faster here (TP3 TPOT +150 %)")
    assert found.supports[0].says == "TPOT +150 %"


def test_an_impossible_layout_is_a_finding() -> None:
    why = "2 does not divide the 9 attention heads (9 = 4 x 2 + 1)"
    found = conclude([Point(label="TP2", tensor=2, refused=why), *BASE], case())
    assert f"TP2 is impossible here: {why}" in found.words
    (support,) = found.supports
    assert (support.setting, support.value, support.holds, support.says) == (
        "tensor_parallel", 2, False, why,
    )  # fmt: skip


def test_the_plan_is_held_against_what_was_measured() -> None:
    told = Predicted(
        requests=1, output_tokens=300, ttft=None, tpot=None, label="uncalibrated", error=0.5
    )
    planned = [
        Point(label=o.label, repeat=o.repeat, figures=o.figures, predicted=told) for o in BASE
    ]
    (words,) = (one for one in conclude(planned, case()).words if one.startswith("the plan"))
    assert words == (
        "the plan says 300 tokens/s for as it is and 100 were measured (-67 %), outside its ±50 %"
        " (uncalibrated)"
    )


LAPTOP = Path(__file__).parents[2] / "examples" / "laptop.yaml"


def test_on_a_cpu_a_pipeline_is_refused_in_the_engines_words() -> None:
    found = {
        one.change.label: one.refused
        for one in candidates(load_fleet(LAPTOP), "smollm2", Settings(tensor=(2,)))
    }
    assert found["PP2"].startswith("on a CPU its first request kills the engine")


def test_twins_take_any_layout_up_to_the_first(tmp_path: Path) -> None:
    found = list(candidates(write_twins(tmp_path), "chat", Settings()))
    assert [(one.change.label, one.refused) for one in found] == [("TP2", ""), ("PP2", "")]
