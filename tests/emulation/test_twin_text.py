"""The twin's text: known sequences go on, and any continuation is the same continuation."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.emulation.text import Writer, decode, encode, piece


def written(text: str, count: int) -> list[int]:
    writer = Writer(text, endless=True)
    return [token for _ in range(count) if (token := writer.next()) is not None]


def test_known_prompt_is_counted_on() -> None:
    assert decode(written("1, 2, 3, 4, 5, 6,", 13)) == " 7, 8, 9, 10,"


def test_counting_goes_on_from_inside_a_number() -> None:
    assert decode(written("8, 9, 1", 3)) == "0, "
    assert decode(written("98, 99,", 5)) == " 100,"


def test_a_sequence_with_a_gap_gets_words() -> None:
    assert not decode(written("1, 2, 9,", 3)).startswith(" 10")


def test_words_are_single_tokens() -> None:
    assert len(encode(" water river")) == 2
    assert len(encode(" waters")) == 7


@given(st.text())
def test_tokens_and_text_are_the_same_thing(text: str) -> None:
    assert decode(encode(text)) == text


@given(st.text(max_size=80), st.integers(0, 40), st.integers(1, 40))
def test_a_continuation_has_the_same_tail(prompt: str, first: int, more: int) -> None:
    whole = written(prompt, first + more)
    begun = decode(whole[:first])
    assert written(prompt + begun, more) == whole[first:]
    assert written(decode(encode(prompt) + whole[:first]), more) == whole[first:]


@given(st.text(max_size=40))
def test_answers_are_made_of_tokens(prompt: str) -> None:
    tokens = written(prompt, 30)
    assert len(tokens) == 30
    assert encode(decode(tokens)) == tokens


def test_different_prompts_get_different_words() -> None:
    assert written("Tell me a story", 12) != written("Tell me a storz", 12)


def test_some_answers_end_by_themselves() -> None:
    writer = Writer("Tell me a story")
    assert None in (writer.next() for _ in range(100_000))


@pytest.mark.parametrize("token", [-1, 0x110000 + 10_000, 2**40])
def test_foreign_tokens_are_refused(token: int) -> None:
    with pytest.raises(ValueError, match="not a token"):
        piece(token)
