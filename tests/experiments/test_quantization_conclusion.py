"""What quantization concludes: worth a trial, not worth it, not decided; from made-up figures."""

from __future__ import annotations

import math
from itertools import starmap

import pytest
from experiment_kit import case, ran

from headrace.experiments.quality import Answered, agreement, apart, sign_test
from headrace.experiments.quantization import conclude
from headrace.experiments.quantization_seen import FULL, QUANTIZED, Held, Point, Timed
from headrace.experiments.quantization_shown import differences
from headrace.experiments.questions import Question
from headrace.experiments.replies import Likely, Reply

TASKS = 20
QUESTIONS = (*(Question(f"{n} + 0 =", str(n)) for n in range(TASKS)), Question("Why?"))


def answered(
    label: str,
    *,
    wrong: int = 0,
    nats: float = 3.0,
    spread: float = 0.0,
    first: int = 9,
    open_: str = "because",
) -> Answered:
    """All tasks done but the first `wrong`; 10 texts of so many nats a token, apart by `spread`."""
    said = [*("?" if n < wrong else f" {n}" for n in range(TASKS)), open_]
    texts = [Likely(100, 100 * (nats + spread * (-1) ** n), 0) for n in range(10)]
    return Answered(
        label=label, together=2, questions=QUESTIONS,
        replies=tuple(Reply(text, tuple(text.encode()), (1, 2)) for text in said),
        texts=tuple(texts), answers=(Likely(10, 2.0 if label == FULL else 3.0, first),),
    )  # fmt: skip


def points(small: Answered, *, speed: float = 1.0, saved: float = 0.4) -> list[Point]:
    held = [
        Held(label=FULL, weights=1000 * 2**20, memory=3 * 2**30, kv_tokens=5000, started=10),
        Held(label=QUANTIZED, weights=int((1 - saved) * 1000) * 2**20, memory=2 * 2**30, kv_tokens=5000, started=10),
    ]  # fmt: skip
    rates = ((FULL, 100.0), (QUANTIZED, 100 * speed))
    timed = [
        Timed(label=label, repeat=n, figures=ran(output_tokens=rate * off, tpot_p50=1 / rate))
        for label, rate in rates
        for n, off in enumerate((0.99, 1, 1, 1.01))
    ]
    return [*held, *timed, answered(FULL), small, answered(FULL, first=9, open_="becomes")]


def test_faster_smaller_and_as_good_is_worth_a_trial_and_no_more() -> None:
    found = conclude(points(answered(QUANTIZED, nats=3.005), speed=1.3), case())
    assert found.words[0] == (
        "worth a trial: chat quantized saves 40 % of the weights' memory and is 30 % faster"
        " (tokens/s), and no loss of quality beyond 2.0 % of perplexity was found"
    )
    assert "weights 1000.0 MiB -> 600.0 MiB" in found.words[1]
    assert "the KV cache has 5,000 tokens either way" in found.words[1]
    assert "candidate, not an upgrade" in found.words[-1]
    small, full = found.supports
    assert (small.setting, small.value, small.holds, small.variant) == (
        "quantization", "int8", True, QUANTIZED,
    )  # fmt: skip
    assert (full.variant, full.holds) == (FULL, True)
    assert found.figures["perplexity change"].value == pytest.approx(math.exp(0.005) - 1)


def test_slower_is_worth_it_only_where_memory_is_short() -> None:
    found = conclude(points(answered(QUANTIZED), speed=0.7), case())
    assert found.words[0].startswith("only where memory is short: chat quantized saves 40 %")
    assert not found.supports[0].holds


def test_a_certain_loss_beyond_the_limit_is_a_no() -> None:
    found = conclude(points(answered(QUANTIZED, nats=3.1), speed=1.3), case())
    assert found.words[0].startswith("no: chat quantized loses quality beyond the limit; it saves")
    assert not found.supports[0].holds


def test_a_limit_of_ones_own_is_kept_to() -> None:
    some = points(answered(QUANTIZED, nats=3.1), speed=1.3)
    assert conclude(some, case(settings={"limit": 0.2})).words[0].startswith("worth a trial")


def test_lost_tasks_are_a_no_whatever_the_texts_say() -> None:
    found = conclude(points(answered(QUANTIZED, wrong=8), speed=1.3), case())
    assert found.words[0].startswith("no:")
    assert "20 were right before and 12 after (8 lost, 0 won" in found.words[3]


def test_a_few_lost_tasks_may_be_chance() -> None:
    found = conclude(points(answered(QUANTIZED, wrong=3), speed=1.3), case())
    assert found.words[0].startswith("worth a trial")
    assert "(3 lost, 0 won, by chance in 25 % of such trials)" in found.words[3]


@pytest.mark.parametrize("nats", [3.0, 3.1])
def test_texts_that_differ_too_much_decide_nothing(nats: float) -> None:
    found = conclude(points(answered(QUANTIZED, nats=nats, spread=0.3), speed=1.3), case())
    assert found.words[0].startswith("not decided:")
    assert found.supports == ()
    assert "questions of your own" in found.next


def test_one_side_alone_is_compared_with_nothing() -> None:
    found = conclude([answered(FULL)], case())
    assert found.words[0] == "only one of the two was asked, so nothing can be compared"


def test_the_full_weights_own_noise_stands_beside() -> None:
    found = conclude(points(answered(QUANTIZED)), case())
    again = found.words[4]
    assert (
        "90 % of the tokens of the full model's answers (the full weights asked again: 90 %)"
        in again
    )
    # Asked again, the full model's one open answer of 21 is another.
    assert (
        "100 % of its own answers are the same to the end, of the full weights asked again 95 %"
        in again
    )


def test_without_a_second_asking_the_noise_is_a_doubt() -> None:
    found = conclude(points(answered(QUANTIZED))[:-1], case())
    assert any("their own noise is not known" in doubt for doubt in found.doubts)


def test_differing_answers_are_listed_with_who_is_right_lost_tasks_first() -> None:
    full, small = answered(FULL), answered(QUANTIZED, wrong=2, open_="become")
    found = differences(full, small)
    assert [one[3] for one in found] == ["only full", "only full", ""]
    assert found[0][:3] == ("0 + 0 =", " 0", "?")
    assert found[2][4] == pytest.approx(3 / 7)  # bec
    shown = conclude(points(small), case()).tables[-1]
    assert shown.caption == "answers that differ, 3 of 3"


# n lost and k won by fair coins, as R's binom.test(k, n + k) gives it.
SIGNS = [
    (0, 0, 1.0),
    (1, 0, 1.0),
    (5, 0, 0.0625),
    (6, 0, 0.03125),
    (8, 1, 0.0390625),
    (3, 3, 1.0),
    (7, 2, 0.1796875),
]


@pytest.mark.parametrize(("lost", "won", "chance"), SIGNS)
def test_the_sign_test_is_that_of_r(lost: int, won: int, chance: float) -> None:
    assert sign_test(lost, won) == pytest.approx(chance)
    assert sign_test(won, lost) == pytest.approx(chance)


def test_agreement_is_the_share_before_the_first_difference() -> None:
    cases = [
        ((1, 2, 3, 4), (1, 2, 9, 4), 0.5),
        ((), (), 1.0),
        ((1,), (), 0.0),
        ((1, 2), (1, 2, 3, 4), 0.5),
    ]
    assert list(starmap(agreement, [(a, b) for a, b, _ in cases])) == [want for *_, want in cases]


def test_the_texts_are_compared_in_pairs() -> None:
    """Texts that differ widely from each other do not hide a small loss on each of them."""
    hard = tuple(Likely(10, 10.0 * n, 0) for n in range(1, 9))
    more = tuple(Likely(10, 10.0 * n + 0.1 + 0.01 * (-1) ** n, 0) for n in range(1, 9))
    one = answered(FULL)
    two = [
        Answered(
            label=FULL,
            together=2,
            questions=one.questions,
            replies=one.replies,
            texts=t,
            answers=(),
        )
        for t in (hard, more)
    ]
    found = apart(*two)
    assert found.low > 0
    assert found.perplexity == pytest.approx(math.exp(0.01) - 1, rel=1e-6)
