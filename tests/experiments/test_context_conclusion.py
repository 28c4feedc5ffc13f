"""What context concludes: a tax, no tax, or a context that is needed; from made-up figures."""

from pathlib import Path

import pytest
from experiment_kit import case, ran, write_twins
from msgspec.structs import replace

from headrace.bench.doubt import Kind, doubtful, worthless
from headrace.experiments.change import AS_IT_IS
from headrace.experiments.context import Arm, Point, conclude
from headrace.experiments.context_load import Settings, arms, lower_limit, traffic_of


def points(
    full: float, lower: float, *, refused: int = 0, beyond: float = 0.0, lean: float | None = None
) -> list[Point]:
    """Each arm twice, a hundredth apart: 1,000 and 500 tokens of limit, 10,000 in the cache."""
    rates = {Arm.FULL: full, Arm.LOWER: lower} | ({} if lean is None else {Arm.LEAN: lean})
    made = []
    for arm, rate in rates.items():
        short = arm is not Arm.FULL
        for repeat in (0, 1):
            failures = {"refused": refused} if refused and short else {}
            run = ran(
                output_tokens=rate * (1 + repeat / 100), kv_usage=0.5, failures=failures,
                failed=sum(failures.values()), whole=100 - sum(failures.values()),
            )  # fmt: skip
            made.append(
                Point(
                    arm=arm, repeat=repeat, limit=500 if short else 1000, run=run,
                    kv_tokens=5000 if arm is Arm.LEAN else 10_000,
                    promise=20.0 if arm is Arm.LOWER else 10.0,
                    memory=2 * 2**30 if arm is Arm.LEAN else 3 * 2**30,
                    beyond=beyond if short else 0.0,
                )
            )  # fmt: skip
    return made


def test_no_tax_is_said_with_what_does_change() -> None:
    found = conclude(points(100, 100, lean=100), case(max_model_len=1000))
    assert found.words[0].startswith(
        "max_model_len 1,000 -> 500 makes no difference to throughput larger than the noise"
    )
    assert "10 -> 20 requests of full length fit at once" in found.words[1]
    assert "at most so much of the KV cache was used: 50 % as it is" in found.words[3]
    assert "memory 3.0 GiB -> 2.0 GiB" in found.words[4]
    (support,) = found.supports
    assert (support.setting, support.value, support.variant) == (
        "max_model_len",
        1000,
        AS_IT_IS.label,
    )


def test_what_was_measured_once_is_not_certain() -> None:
    found = conclude([one for one in points(100, 150) if one.repeat == 0], case())
    assert found.words[0].startswith("max_model_len 1,000 -> 500: 100 -> 150 output tokens/s")
    assert "more than once" in found.words[0]
    assert found.supports == ()


def test_a_tax_is_called_one() -> None:
    found = conclude(points(100, 150), case())
    assert found.words[0].startswith("max_model_len 1,000 -> 500 raises throughput: 100 -> 151")
    assert found.words[0].endswith("the higher limit was a tax on this traffic")
    assert [(one.value, one.variant) for one in found.supports] == [(500, "lower limit")]


def test_a_tax_that_others_need_supports_the_higher_limit() -> None:
    found = conclude(points(100, 150, beyond=0.02), case())
    assert [one.value for one in found.supports] == [1000]
    assert "of the routes' traffic 2.0 % is longer" in found.words[2]


def test_a_context_that_is_needed_is_the_answer() -> None:
    found = conclude(points(100, 150, refused=7), case())
    assert found.words[0].startswith("max_model_len 1,000 -> 500 refuses 7.0 % of these requests")
    assert [(one.value, one.says) for one in found.supports] == [(1000, "500 refuses 7.0 %")]
    # Refusals are what was measured, no doubt about it.
    assert not any("failed" in doubt for doubt in found.doubts)


def test_a_doubt_about_something_else_stays_though_requests_were_refused() -> None:
    refusals = worthless("7.0 % of the requests failed (refused 7).", "See why.", Kind.FAILED)
    trouble = doubtful("The run itself had trouble: a disk failed.", "Mend that.")
    some = [
        replace(one, run=replace(one.run, doubts=(refusals, trouble))) if one.refused else one
        for one in points(100, 150, refused=7)
    ]
    lower = "lower limit (1) and lower limit (2)"
    assert conclude(some, case()).doubts == (f"{lower}: {trouble}",)


def test_one_arm_compares_nothing() -> None:
    found = conclude([one for one in points(1, 1) if one.arm is Arm.FULL], case(interrupted=True))
    assert found.words == ("only as it is was measured, so there is nothing to compare",)
    assert found.supports == ()


@pytest.mark.parametrize(
    ("full", "usual", "lower"),
    [(2048, 550, 1024), (4096, 512, 512), (1024, 900, 512), (8192, 3, 256)],
)
def test_the_lower_limit_still_fits_what_is_usual(full: int, usual: int, lower: int) -> None:
    assert lower_limit(full, usual) == lower


def test_the_lean_copy_keeps_the_promise(tmp_path: Path) -> None:
    made = dict(arms(write_twins(tmp_path), "chat", 1024, 256))
    assert made[Arm.LOWER].fields == {"max_model_len": 256}
    assert made[Arm.LEAN].hardware == {"kv_tokens": 2048}


def test_lengths_are_the_routes_unless_knobs_say_otherwise(tmp_path: Path) -> None:
    file = write_twins(tmp_path)
    traffic = traffic_of(file, "chat", Settings())
    assert traffic.prompt.p50 == pytest.approx(60, rel=0.05)
    assert traffic.prompt.p99 == pytest.approx(200, rel=0.15)
    assert traffic.beyond(10_000) == 0
    assert traffic.beyond(1) == 1
    other = traffic_of(file, "chat", Settings(prompt_p50=300, output_p99=90))
    assert (other.prompt.p50, other.prompt.p99) == (300, 300)
    assert other.output.p99 == 90
