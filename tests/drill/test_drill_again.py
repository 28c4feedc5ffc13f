"""Asking a real engine again, with an engine of four words whose likelihoods are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import httpx
import pytest
from drill_kit import DONE, ROLE, an_ask, delta, event, seen

from headrace.drill.again import LIMIT, Engine, Gap, check, gaps, respelled


def place(**likely: float) -> dict[str, Any]:
    """One position: token id (as `t7`) to logprob, with its id as text."""
    ranked = sorted(likely.values(), reverse=True)
    return {
        name[1:]: {
            "logprob": nats,
            "rank": ranked.index(nats) + 1,
            "decoded_token": f"<{name[1:]}>",
        }
        for name, nats in likely.items()
    }


PROMPT = [1, 2]


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        (place(t4=-0.1), 0.0),  # the likeliest
        (place(t4=-0.9, t5=-0.6), 0.3),  # a near tie
        (place(t4=-7.0, t5=-0.01), 6.99),  # what follows a lost token
    ],
)
def test_the_gap_is_to_the_likeliest(second: dict[str, Any], expected: float) -> None:
    likely = [None, place(t2=-9.0, t7=0.0), place(t3=-0.2), second]
    found = gaps([*PROMPT, 3, 4], likely, len(PROMPT))
    assert [gap.at for gap in found] == [2, 3]
    assert found[0].nats == 0.0
    assert found[1].nats == pytest.approx(expected)


def test_a_token_that_the_engine_does_not_name_is_infinitely_far() -> None:
    assert gaps([1, 9], [None, place(t4=-0.1)], 1) == [Gap(1, float("inf"))]


def named(*entries: tuple[int, float, str]) -> dict[str, Any]:
    return {
        str(i): {"logprob": nats, "rank": 1, "decoded_token": text} for i, nats, text in entries
    }


def respell(likely: Sequence[Any]) -> list[tuple[int, str]]:
    return respelled([1, 30, 31], likely, 1)


def test_another_spelling_of_the_same_text_is_found() -> None:
    # The text "ab cd" may be the tokens "ab" + " cd", or " a" no; "a" + "b cd" is likelier here.
    likely = [
        None,
        named((30, -6.0, "ab"), (40, -0.1, "a"), (41, -0.5, "x")),
        named((31, -0.1, " cd")),
    ]
    assert respell(likely) == [(40, "b cd")]


def test_an_unlikely_spelling_is_none() -> None:
    likely = [
        None,
        named((30, -6.0, "ab"), (40, -0.1 - LIMIT - 0.1, "a"), (41, -0.1, "x")),
        named((31, -0.1, " cd")),
    ]
    assert respell(likely) == []


@pytest.mark.parametrize("special", ["<|im_end|>", "", "</s>", "<eos>"])
def test_what_no_answer_may_contain_is_not_the_likeliest(special: str) -> None:
    likely = [None, named((5, -0.01, special), (6, -4.0, " a"), (7, -6.0, " b"))]
    assert gaps([1, 6], likely, 1) == [Gap(1, 0.0)]
    assert gaps([1, 7], likely, 1) == [Gap(1, pytest.approx(2.0))]
    assert gaps([1, 5], likely, 1) == [Gap(1, 0.0)]


SPELLED = {10: "a", 11: "b", 12: "c", 13: "d", 14: "e", 20: "ab"}
FOLLOWS = {2: 10, 10: 11, 11: 12, 12: 13, 13: 14, 14: 10, 20: 12}


class Alphabet(Engine):
    """An engine that always goes on in the alphabet; `ab` is a token, too, and none it would write."""

    async def tokenize(self, what: Mapping[str, Any]) -> list[int]:
        if "messages" in what:
            return [1, 2]
        return [next(i for i, text in SPELLED.items() if text == sign) for sign in what["prompt"]]

    async def likely(self, ids: Sequence[int]) -> list[Any]:
        def after(token: int, own: int) -> dict[str, Any]:
            best = FOLLOWS[token]
            chosen = named((own, -5.0, SPELLED[own])) if own != best else {}
            return chosen | named((best, -0.1, SPELLED[best]))

        return [None, {}, *(after(ids[at - 1], ids[at]) for at in range(2, len(ids)))]


async def worst(tokens: Sequence[int], *, ids: bool = True, continued: bool = False) -> float:
    blocks = [event(ROLE)]
    for token in tokens:
        told = delta(SPELLED[token])
        told["choices"][0] |= {"token_ids": [token]} if ids else {}
        blocks.append(event(told))
    if continued:
        blocks.insert(3, b": continued by chat-2 after 9 ms\n\n")
    answer = seen(an_ask(ids=ids, tokens=len(tokens)), [*blocks, DONE])
    async with httpx.AsyncClient(trust_env=False) as http:
        found = await check(Alphabet(http, "http://nowhere", "m"), answer)
    assert [gap.at for gap in found] == list(range(len(found)))
    return max(gap.nats for gap in found)


@pytest.mark.parametrize("ids", [True, False])
@pytest.mark.parametrize("continued", [True, False])
async def test_an_answer_that_the_engine_would_write(ids: bool, continued: bool) -> None:
    assert await worst([10, 11, 12, 13], ids=ids, continued=continued) == 0.0


@pytest.mark.parametrize("ids", [True, False])
@pytest.mark.parametrize("wrong", [[10, 11, 13, 14], [10, 11, 11, 12]])
async def test_a_token_lost_or_doubled_at_the_splice_shows(ids: bool, wrong: list[int]) -> None:
    assert await worst(wrong, ids=ids, continued=True) == pytest.approx(4.9)


async def test_only_a_continued_answer_may_be_right_in_another_spelling() -> None:
    assert await worst([20, 12, 13], continued=True) == 0.0
    assert await worst([20, 12, 13]) == pytest.approx(4.9)
