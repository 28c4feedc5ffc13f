"""Loads have exactly the lengths, shares and sharing that were ordered, each time the same."""

import re
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from workload_kit import KINDS, as_json, count_of, engine_count, folder, ids

from headrace.bench.asks import Message, Prompt
from headrace.bench.shape_lengths import shares
from headrace.bench.tokens import Estimate, TokenizerError
from headrace.bench.workload import build
from headrace.bench.workload_order import (
    HotPrefix,
    Length,
    Misfit,
    Sessions,
    Shape,
    WorkloadOrder,
)
from headrace.traffic.arrivals import Poisson
from headrace.traffic.errors import TrafficError


def shape(prompt: int, output: int = 8, name: str = "x", weight: float = 1) -> Shape:
    return Shape(name, Length(prompt, prompt), Length(output, output), weight)


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tokenizer")


@settings(max_examples=40, deadline=None)
@given(length=st.integers(1, 600), chat=st.booleans(), seed=st.integers(0, 2**64))
def test_prompts_are_exactly_as_long_as_ordered(
    place: Path, kind: str, length: int, chat: bool, seed: int
) -> None:
    order = WorkloadOrder(shapes=(shape(length),), count=3, chat=chat, seed=seed)
    # a template, or a first token, that is longer than the whole prompt cannot be left out
    least = 1 + engine_count(kind, (Message("user", "the"),) if chat else "the") - 1
    for ask in build(order, folder(place, kind)):
        assert engine_count(kind, ask.prompt) == ask.prompt_tokens == max(length, least)


def test_no_two_prompts_begin_alike(place: Path, kind: str) -> None:
    order = WorkloadOrder(shapes=(shape(40),), count=2000, chat=False)
    prompts = [str(ask.prompt) for ask in build(order, folder(place, kind))]
    assert len({tuple(ids(kind, prompt)[:12]) for prompt in prompts}) == 2000
    assert all(word.isalpha() for word in prompts[0].split())
    assert not prompts[0].startswith(" ")


def test_short_prompts_differ_while_there_are_words(place: Path) -> None:
    tokenizer, notes = folder(place), list[str]()
    order = WorkloadOrder(shapes=(shape(3),), count=500, chat=False)
    assert len({ask.prompt for ask in build(order, tokenizer, notes)}) == 500
    assert notes == []
    build(WorkloadOrder(shapes=(shape(1),), count=3, chat=False), tokenizer, notes)
    assert notes == ["2 requests too short to begin unlike all others"]


def test_weights_go_by_largest_remainders() -> None:
    # 3.375 and 5.625; 3.5, 2.1 and 1.4
    assert shares([3, 5], 9) == [3, 6]
    assert shares([2.5, 1.5, 1], 7) == [4, 2, 1]
    assert shares([1, 1e-9], 5) == [5, 0]


def test_the_same_order_gives_the_same_load(place: Path) -> None:
    tokenizer = folder(place)
    order = WorkloadOrder(
        shapes=(Shape("x", Length(50, 90), Length(5, 20)),),
        arrivals=Poisson(5),
        count=50,
        prefix=HotPrefix(30, 0.5),
        sessions=Sessions(3, 1.0),
        seed=5,
    )
    copy = msgspec.json.decode(msgspec.json.encode(order), type=WorkloadOrder)
    one, same = build(order, tokenizer), build(copy, tokenizer)
    assert as_json(one) == as_json(same)
    other = build(msgspec.structs.replace(order, seed=6), tokenizer)
    assert not {ask.prompt for ask in one} & {ask.prompt for ask in other}


def test_shares_and_quantiles_are_met_exactly(place: Path) -> None:
    order = WorkloadOrder(
        shapes=(
            Shape("a", Length(60, 120), Length(10, 40), 3),
            Shape("b", Length(50, 50), Length(7, 7), 1),
        ),
        count=400,
        arrivals=Poisson(10),
        chat=False,
    )
    asks = build(order, folder(place))
    assert count_of(asks) == {"a": 300, "b": 100}
    lengths = sorted(ask.prompt_tokens or 0 for ask in asks if ask.shape == "a")
    assert (lengths[149], lengths[296]) == (60, 120)  # ranks 150 and 297 of 300
    outputs = sorted(ask.max_tokens for ask in asks if ask.shape == "a")
    assert (outputs[149], outputs[296]) == (10, 40)
    assert [ask.number for ask in asks] == list(range(400))
    due = [ask.at or 0.0 for ask in asks]
    assert due == sorted(due)
    assert due[-1] == pytest.approx(40)
    assert {ask.shape for ask in asks[:20]} == {"a", "b"}


def test_a_closed_loop_has_no_times_and_needs_a_count(place: Path) -> None:
    tokenizer = folder(place)
    assert {ask.at for ask in build(WorkloadOrder(shapes=(shape(30),), count=4), tokenizer)} == {
        None
    }
    with pytest.raises(TrafficError, match="a closed loop needs to know how many"):
        build(WorkloadOrder(shapes=(shape(30),)), tokenizer)


@pytest.mark.parametrize("chat", [True, False])
def test_a_hot_prefix_is_shared_by_exactly_its_share(place: Path, kind: str, chat: bool) -> None:
    order = WorkloadOrder(
        shapes=(shape(60),), count=50, chat=chat, prefix=HotPrefix(100, 0.6, copies=3)
    )
    asks = build(order, folder(place, kind))
    if chat:
        begun = [ask.prompt[0].content for ask in asks if len(ask.prompt) == 2]
        assert all(len(ids(kind, text)) == 100 for text in begun)
        texts = [ask.prompt[-1].content for ask in asks]
    else:
        long = [str(ask.prompt) for ask in asks if ask.prompt_tokens == 160]
        begun = [" ".join(text.split()[:100]) for text in long]
        texts = [" ".join(str(ask.prompt).split()[-50:]) for ask in asks]
    assert sorted(begun.count(text) for text in set(begun)) == [10, 10, 10]
    assert len(set(texts)) == 50
    for ask in asks:
        assert engine_count(kind, ask.prompt) == ask.prompt_tokens


def test_a_session_brings_only_what_is_new(place: Path, kind: str) -> None:
    order = WorkloadOrder(
        shapes=(shape(60, 9),),
        count=30,
        arrivals=Poisson(2),
        sessions=Sessions(3, 2.0),
        prefix=HotPrefix(20, 0.5),
    )
    asks = build(order, folder(place, kind))
    assert [(ask.session, ask.turn) for ask in asks] == [
        (s, t) for s in range(10) for t in range(3)
    ]
    assert all((ask.at is None) == (ask.turn > 0) for ask in asks)
    assert all((ask.wait > 0) == (ask.turn > 0) for ask in asks)
    answer = " ".join(["the"] * 9)
    assert len(ids(kind, answer)) == 9
    for number in range(10):
        said: tuple[Message, ...] = ()
        for ask in asks[number * 3 : number * 3 + 3]:
            said += tuple(one for one in ask.prompt if isinstance(one, Message))
            # answers of max_tokens make the prompt as long as was expected
            assert engine_count(kind, said) == ask.prompt_tokens
            said += (Message("assistant", answer),)


def test_a_session_of_text_is_put_together_as_it_is(place: Path) -> None:
    order = WorkloadOrder(shapes=(shape(20, 9),), count=3, sessions=Sessions(3), chat=False)
    said = ""
    for ask in build(order, folder(place)):
        said += str(ask.prompt)
        assert len(ids("bytes", said)) == ask.prompt_tokens
        said += " the" * 9


def test_people_think_as_long_as_ordered(place: Path) -> None:
    order = WorkloadOrder(shapes=(shape(20),), count=4000, sessions=Sessions(2, 3.0), chat=False)
    waits = [ask.wait for ask in build(order, folder(place)) if ask.turn]
    assert len(waits) == 2000
    assert sum(waits) / 2000 == pytest.approx(3.0, rel=0.1)  # four deviations of the mean


def test_what_does_not_fit_is_left_out_or_clipped_and_said(place: Path) -> None:
    tokenizer = folder(place)
    order = WorkloadOrder(
        shapes=(shape(200, 50, "long"), shape(40, 20, "short")), count=20, context=128
    )
    notes: list[str] = []
    left = build(order, tokenizer, notes)
    assert count_of(left) == {"short": 10}
    assert [ask.number for ask in left] == list(range(10))
    assert notes == [
        "10 requests left out: prompt and answer are more than the context of 128 tokens"
    ]
    notes.clear()
    cut = build(msgspec.structs.replace(order, misfit=Misfit.CLIP), tokenizer, notes)
    assert {(ask.shape, ask.prompt_tokens, ask.max_tokens) for ask in cut} == {
        ("long", 78, 50),
        ("short", 40, 20),
    }
    assert all(engine_count("bytes", ask.prompt) == ask.prompt_tokens for ask in cut)
    assert notes == [
        "10 requests clipped: prompt and answer were more than the context of 128 tokens"
    ]


def test_a_session_ends_before_the_turn_that_does_not_fit(place: Path) -> None:
    order = WorkloadOrder(
        shapes=(shape(40, 20),), count=8, sessions=Sessions(4), context=130, chat=False
    )
    notes: list[str] = []
    asks = build(order, folder(place), notes)
    # 40 + 20, 100 + 20, 160 + 20: two turns fit
    assert [(ask.session, ask.turn, ask.prompt_tokens) for ask in asks] == [
        (0, 0, 40), (0, 1, 100), (1, 0, 40), (1, 1, 100),
    ]  # fmt: skip
    assert notes[0].startswith("4 requests left out")


def test_nothing_left_is_an_error_with_its_reason(place: Path) -> None:
    order = WorkloadOrder(shapes=(shape(200),), count=3, context=100)
    with pytest.raises(TrafficError, match="no request is left: 3 requests left out"):
        build(order, folder(place))


@pytest.mark.parametrize(
    ("order", "words"),
    [
        (WorkloadOrder(file="f", sessions=Sessions(2)), "made of shapes"),
        (WorkloadOrder(trace="t", prefix=HotPrefix(9)), "made of shapes"),
        (WorkloadOrder(shapes=(shape(9),), shrink=2), "only a trace can be shrunk"),
    ],
)
def test_what_would_not_be_heard_is_refused(place: Path, order: WorkloadOrder, words: str) -> None:
    with pytest.raises(TrafficError, match=words):
        build(order, folder(place))


@pytest.mark.parametrize(
    "order",
    [
        WorkloadOrder(count=3),
        WorkloadOrder(count=3, shapes=(shape(9),), file="f"),
        WorkloadOrder(count=3, trace="t", file="f"),
    ],
)
def test_prompts_come_from_one_place(place: Path, order: WorkloadOrder) -> None:
    with pytest.raises(TrafficError, match="one of the three"):
        build(order, folder(place))


def test_short_prompts_are_made_longer_and_said(place: Path) -> None:
    notes: list[str] = []
    build(WorkloadOrder(shapes=(shape(1),), count=2), folder(place), notes)
    assert notes == [
        "2 requests made longer: the template alone has more tokens than were asked for",
        "1 request too short to begin unlike all others",
    ]


def test_an_estimate_makes_prompts_by_its_own_count() -> None:
    asks = build(WorkloadOrder(shapes=(shape(50),), count=3), Estimate("nobody answers"))
    assert {ask.prompt_tokens for ask in asks} == {None}
    # 45 words and five tokens for the message
    assert [len(ask.prompt[0].content.split()) for ask in asks if ask.prompt] == [45, 45, 45]


class Merging(Estimate):
    """A tokenizer that writes some words that stand beside each other as one token."""

    exact = True

    def encode(self, text: str) -> list[int]:
        return [0] * (len(text.split()) - len(re.findall(r"\b(old|new|large) \w+", text)))

    def count(self, prompt: Prompt) -> int:
        return len(self.encode(str(prompt)))


def test_texts_are_mended_where_words_merge() -> None:
    tokenizer = Merging("it is made up")
    order = WorkloadOrder(shapes=(shape(100),), count=30, chat=False)
    asks = build(order, tokenizer)
    assert {len(tokenizer.encode(str(ask.prompt))) for ask in asks} == {100}
    assert {len(str(ask.prompt).split()) for ask in asks} > {100}
    hot = build(
        WorkloadOrder(shapes=(shape(9),), count=9, chat=False, prefix=HotPrefix(300)), tokenizer
    )
    assert {len(tokenizer.encode(str(ask.prompt))) for ask in hot} == {309}
    shared = {str(ask.prompt).rpartition(" the ")[0] for ask in hot}
    assert min(len(tokenizer.encode(text)) for text in shared) >= 300 - 1


class Letters:
    """A tokenizer for which no word is one token."""

    label, exact = "letters", True

    def count(self, prompt: object) -> int:
        return len(str(prompt))

    def encode(self, text: str) -> list[int]:
        return [ord(letter) for letter in text]


def test_a_tokenizer_without_words_is_an_error() -> None:
    with pytest.raises(TokenizerError, match=r"0 of .* common English words are one token"):
        build(WorkloadOrder(shapes=(shape(50),), count=3), Letters())
