"""What batching concludes, from made-up figures."""

from typing import Any

import pytest
from experiment_kit import case, ran

from headrace.bench.answers import Answer
from headrace.bench.run import About, Run
from headrace.experiments.batching import Point, Way, conclude
from headrace.experiments.batching_load import joined


def point(way: Way, requests: float, repeat: int = 0, **given: Any) -> Point:
    run = ran(requests=requests, output_tokens=40 * requests, prompt_mean=60.0, output_mean=40.0)
    return Point(way=way, repeat=repeat, size=16, run=run, busy=given.get("busy", 1.0))


def both(alone: float, static: float, full: float) -> list[Point]:
    """Each way twice, a hundredth apart."""
    return [
        point(way, requests * (1 + repeat / 100), repeat, busy=9.0)
        for way, requests in ((Way.ALONE, alone), (Way.STATIC, static), (Way.CONTINUOUS, full))
        for repeat in (0, 1)
    ]


def test_the_gain_and_its_cost_are_said_with_figures() -> None:
    found = conclude(both(0.5, 2.0, 4.0), case(hourly=3.6, max_num_seqs=16))
    assert found.words[0].startswith(
        "continuous batching of 16 clients serves 8.0 times the requests of one at a time:"
        " 0.502 -> 4.02 requests/s (+700 %)"
    )
    assert (
        "static batches of 16 serve 2.01 requests/s: continuous batching serves 2.0 times"
        in found.words[1]
    )
    assert "9 of 16 places were busy" in found.words[1]
    # 3.6 an hour is 0.001 a second: 1,000 requests at 0.5025 and 4.02 a second.
    assert "one at a time 1.99, static batches 0.498, continuous 0.249" in found.words[2]
    assert found.figures["requests of continuous over one at a time"].value == pytest.approx(8)
    assert [(one.setting, one.value) for one in found.supports] == [("max_num_seqs", 16)]


def test_no_gain_is_said_as_such_and_supports_nothing() -> None:
    points = [
        point(way, rate, n)
        for way in (Way.ALONE, Way.CONTINUOUS)
        for n, rate in enumerate((1.0, 1.3))
    ]
    found = conclude(points, case(max_num_seqs=16))
    assert found.words[0].startswith("no difference larger than the noise")
    assert found.supports == ()


def test_static_batches_that_win_are_a_reason_to_doubt() -> None:
    found = conclude(both(0.5, 5.0, 4.0), case())
    assert "more than continuous batching" in found.words[1]
    assert "hourly_price of the hardware is open" in found.words[2]


def test_one_way_alone_compares_nothing() -> None:
    found = conclude([point(Way.ALONE, 1.0)], case(interrupted=True))
    assert found.words == (
        "only one at a time came to an end, so continuous batching cannot be compared",
    )


def test_slots_that_the_deployment_does_not_have_are_not_supported() -> None:
    assert conclude(both(0.5, 2.0, 4.0), case(max_num_seqs=8)).supports == ()


def test_batches_follow_each_other_and_are_handed_over_at_their_end() -> None:
    def answer(number: int, sent: float, ended: float) -> Answer:
        return Answer(
            number=number, due=sent, sent=sent, ended=ended, first=sent + 0.1, last=ended,
            gaps=[ended - sent - 0.1], output_tokens=2,
        )  # fmt: skip

    about = About(name="x", address="", model="m", began="")
    runs = [
        Run(about, [answer(0, 5.0, 6.0), answer(1, 5.0, 8.0)]),
        Run(about, [answer(2, 1.0, 2.0), answer(3, 1.0, 1.5)]),
    ]
    together = joined(runs)
    # The first batch takes 3 s, the second 1 s; nobody has an answer before its batch is done.
    assert [(one.sent, one.first, one.ended) for one in together.answers] == [
        (0.0, 3.0, 3.0), (0.0, 3.0, 3.0), (3.0, 4.0, 4.0), (3.0, 4.0, 4.0),
    ]  # fmt: skip
    assert together.about.seconds == 4.0
    assert together.about.load["batch"] == 2
