"""What speculative concludes: it pays for some traffic, for none, or nobody knows."""

from __future__ import annotations

from experiment_kit import case, ran

from headrace.experiments.change import AS_IT_IS
from headrace.experiments.speculative import GUESSING, Point, conclude

NOISE = (0.99, 1.0, 1.0, 1.01)


def points(
    traffic: str,
    before: float,
    after: float,
    *,
    many: int = 1,
    right: float = 60,
    noise: tuple[float, ...] = NOISE,
) -> list[Point]:
    """Four runs of each copy; of 100 guessed tokens in 25 guesses `right` are accepted."""
    made = []
    for label, rate in ((AS_IT_IS.label, before), (GUESSING, after)):
        for repeat, off in enumerate(noise):
            run = ran(output_tokens=rate * off, tpot_p50=1 / rate / off)
            ahead = label == GUESSING
            made.append(
                Point(
                    label=label, traffic=traffic, concurrency=many, repeat=repeat, figures=run,
                    tokens_per_event=1.5 if ahead else 1.0,
                    drafts=25 if ahead else None, drafted=100 if ahead else None,
                    accepted=right if ahead else None,
                )
            )  # fmt: skip
    return made


CONFIG = {"config": '{"method": "ngram"}'}


def test_it_pays_for_what_repeats_and_costs_the_rest() -> None:
    some = points("repeating", 20, 36) + points("open", 100, 80, many=8, right=10)
    found = conclude(some, case(settings=CONFIG))
    assert found.words[0] == (
        "guessing ahead pays for repeating, one at a time (+80 % tokens/s), and costs open, 8 at"
        " once (-20 % tokens/s): give what repeats its prompt a deployment of its own"
    )
    assert "60 % of 400 guessed tokens were right, 2.4 for each guess" in found.words[1]
    assert "10 % of 400 guessed tokens were right, 0.4 for each guess" in found.words[2]
    assert "promise TPOT, not ITL" in found.words[3]
    (support,) = found.supports
    assert (support.holds, support.value, support.variant) == (
        False,
        '{"method": "ngram"}',
        GUESSING,
    )
    assert found.figures["accepted, repeating, one at a time"].value == 0.6
    gain = found.figures["tokens/s, repeating, one at a time"]
    assert gain.low is not None
    assert gain.high is not None
    assert gain.low < gain.value < gain.high
    assert gain.low > 1.7


def test_a_gain_alone_speaks_for_the_flag() -> None:
    found = conclude(points("repeating", 20, 30), case(settings=CONFIG))
    assert found.words[0].endswith(
        "(+50 % tokens/s), and certainly slows nothing else that was asked"
    )
    assert found.supports[0].holds


def test_a_loss_alone_speaks_against_it() -> None:
    found = conclude(points("open", 20, 15), case(settings=CONFIG))
    assert found.words[0].startswith("guessing ahead does not pay here: it costs open")
    assert not found.supports[0].holds


def test_a_gain_within_the_noise_is_none() -> None:
    found = conclude(points("open", 20, 24, noise=(0.5, 0.9, 1.1, 1.5)), case(settings=CONFIG))
    assert found.words[0].startswith("guessing ahead makes no certain difference of 5.0 % or more")
    assert found.supports == ()


def test_a_certain_difference_too_small_to_matter_is_none_either() -> None:
    found = conclude(points("open", 20, 20.8), case(settings=CONFIG))
    assert found.words[0].startswith("guessing ahead makes no certain difference")


def test_one_copy_alone_is_compared_with_nothing() -> None:
    found = conclude(points("open", 20, 24)[:4], case(settings=CONFIG))
    assert found.words == ("only one of the two copies was measured, so nothing can be compared",)


def test_an_engine_without_counters_is_a_doubt() -> None:
    some = [one for one in points("open", 20, 20) if one.label == AS_IT_IS.label]
    silent = [
        Point(label=GUESSING, traffic="open", concurrency=1, repeat=n, figures=one.figures)
        for n, one in enumerate(some)
    ]
    found = conclude([*some, *silent], case(settings=CONFIG))
    assert "the engine does not tell how many guesses it made, or it made none" in found.doubts
    assert "the engine counted no guesses" in found.words[1]
