"""The twin's text: known sequences go on, and any continuation is the same continuation."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.emulation.stopping import Shown
from headrace.emulation.text import _VOCABULARY, Detokenizer, Writer, decode, encode, joined, piece


def written(text: str | bytes, count: int) -> list[int]:
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


def test_a_character_can_be_several_tokens() -> None:
    assert [len(encode(one)) for one in ("a", "é", "水", "💧")] == [1, 2, 3, 3]
    assert [piece(token) for token in encode("💧")] == [b"\xf0\x9f", b"\x92", b"\xa7"]


def test_a_begun_character_is_held_back() -> None:
    characters = Detokenizer()
    assert [characters.push(token) for token in encode("a水b")] == ["a", "", "", "水", "b"]
    assert decode(encode("a水")[:-1]) == "a"


def test_answers_have_characters_of_several_tokens() -> None:
    text = decode(written("Tell me a story", 500))
    assert {"水", "💧", "é", "河"} <= set(text)


@given(st.text())
def test_tokens_and_text_are_the_same_thing(text: str) -> None:
    assert decode(encode(text)) == text


@given(st.text(max_size=80), st.integers(0, 40), st.integers(1, 40))
def test_a_continuation_from_ids_has_the_same_tail(prompt: str, first: int, more: int) -> None:
    """Even inside a character."""
    whole = written(prompt, first + more)
    assert written(joined(encode(prompt) + whole[:first]), more) == whole[first:]


@given(st.text(max_size=80), st.integers(0, 40), st.integers(1, 40))
def test_a_continuation_from_text_has_the_same_tail(prompt: str, first: int, more: int) -> None:
    """Text ends before a character that is begun, which is then written again from its start."""
    whole = written(prompt, first + more)
    begun = decode(whole[:first])
    again = len(whole[:first]) - len(encode(begun))
    assert written(prompt + begun, more + again) == whole[first - again :]


@given(st.text(max_size=40), st.integers(0, 60))
def test_a_continuation_shows_the_rest_of_a_begun_character(prompt: str, first: int) -> None:
    whole = written(prompt, 60)
    before, after = (
        Detokenizer(prompt.encode()),
        Detokenizer(joined(encode(prompt) + whole[:first])),
    )
    shown = [*map(before.push, whole[:first]), *map(after.push, whole[first:])]
    assert "".join(shown) == decode(whole)


@given(st.text(max_size=40))
def test_answers_are_made_of_tokens(prompt: str) -> None:
    tokens = written(prompt, 30)
    assert len(tokens) == 30
    whole = encode(decode(tokens))
    assert whole == tokens[: len(whole)]
    assert len(tokens) - len(whole) <= 2


@given(st.binary(max_size=60))
def test_a_prompt_of_any_bytes_is_continued_always_the_same(prompt: bytes) -> None:
    assert written(prompt, 20) == written(prompt, 20)
    assert len(written(prompt, 20)) == 20


def test_different_prompts_get_different_words() -> None:
    assert written("Tell me a story", 12) != written("Tell me a storz", 12)


def test_some_answers_end_by_themselves() -> None:
    writer = Writer("Tell me a story")
    assert None in (writer.next() for _ in range(100_000))


@pytest.mark.parametrize("token", [-1, 10_000, 2**40])
def test_foreign_tokens_are_refused(token: int) -> None:
    with pytest.raises(ValueError, match="not a token"):
        piece(token)


def pushed(text: str, *stops: str, keep: bool = False) -> tuple[list[str], str | None]:
    shown = Shown(b"", stops, keep=keep)
    parts = []
    for token in encode(text):
        parts.append(shown.push(token))
        if shown.stopped_by is not None:
            return parts, shown.stopped_by
    return [*parts, shown.rest()], None


def test_a_stop_string_ends_the_text_before_it() -> None:
    # Two characters could begin "END" at any time, so the text lags by two.
    parts, stop = pushed("abENDcd", "END")
    assert parts == ["", "", "a", "b", ""]
    assert stop == "END"
    assert pushed("abENDcd", "END", keep=True) == (["a", "b", "E", "N", "D"], "END")


def test_what_only_looks_like_a_stop_is_shown_in_the_end() -> None:
    assert pushed("abEN", "END") == (["", "", "a", "b", "EN"], None)


@given(st.text("ab水", max_size=30), st.lists(st.text("ab水", min_size=1, max_size=3), max_size=3))
def test_what_is_shown_is_the_text_up_to_the_first_stop(text: str, stops: list[str]) -> None:
    parts, stopped = pushed(text, *stops)
    assert (stopped is None) == (not any(stop in text for stop in stops))
    shown = "".join(parts)
    assert not any(stop in shown for stop in stops)
    assert text.startswith(shown)
    if stopped is None:
        assert shown == text
    else:
        assert text.startswith(shown + stopped)


def slowly_encoded(text: str) -> list[int]:
    """The tokenizer as its docstring has it: known words with their space, else byte by byte."""
    ids: list[int] = []
    at = 0
    while at < len(text):
        found = re.match(" [a-z]+", text[at:])
        known = found and next(
            (i for i, one in enumerate(_VOCABULARY) if one == found[0].encode()), None
        )
        data = text[at].encode("utf-8", "replace")
        if found and known:
            ids.append(known)
        elif data.startswith(b"\xf0\x9f"):
            ids += [256, *data[2:]]
        else:
            ids += data
        at += len(found[0]) if found and known else 1
    return ids


@given(
    st.lists(st.sampled_from([*"aZ1 \n.é水💧🚀\ud800", " the", " water", " a", "the", "s"])).map(
        "".join
    )
)
def test_tokens_are_words_and_bytes(text: str) -> None:
    assert encode(text) == slowly_encoded(text)
    assert joined(encode(text)) == text.encode("utf-8", "replace")


@pytest.mark.parametrize("ids", [[-1], [5, 10_000], ["5"], [None], [1.5], [[1]], [5, {}]])
def test_what_is_no_token_is_refused(ids: list[Any]) -> None:
    with pytest.raises(ValueError, match="is not a token of the twin"):
        joined(ids)
