"""Verdicts on answers written by hand: each way an answer can be wrong, and the ones that are right."""

from __future__ import annotations

import json
from typing import Any

import pytest
from drill_kit import (
    BEYOND,
    DONE,
    ROLE,
    USAGE,
    WANT,
    WORDS,
    an_ask,
    delta,
    event,
    frame,
    seen,
    words,
)
from hypothesis import given
from hypothesis import strategies as st

from headrace.drill.judge import BAD, Outcome, Verdict, Want, judge
from headrace.drill.reading import read
from headrace.drill.seen import End

RIGHT = [event(ROLE), *words(*WORDS), DONE]


def verdict(
    blocks: list[bytes],
    *,
    want: Want | None = WANT,
    asked: dict[str, Any] | None = None,
    **how: Any,
) -> Verdict:
    return judge(seen(an_ask(**(asked or {})), blocks, **how), want)


def test_every_token_once_is_whole() -> None:
    assert verdict(RIGHT) == Verdict(Outcome.WHOLE)


def test_a_usage_that_was_asked_for_is_whole() -> None:
    assert (
        verdict([*RIGHT[:-1], event(USAGE), DONE], asked={"usage": True}).outcome is Outcome.WHOLE
    )


def test_comments_do_not_matter() -> None:
    blocks = [
        b": waiting for a replica\n\n",
        *RIGHT[:4],
        b": continued by chat-2 after 12 ms\n\n",
        *RIGHT[4:],
    ]
    assert verdict(blocks) == Verdict(Outcome.WHOLE)


@pytest.mark.parametrize(
    ("texts", "outcome", "missing", "doubled"),
    [
        (WORDS[:3] + WORDS[4:], Outcome.CUT_SILENTLY, 1, 0),  # one lost, and one short
        (
            WORDS[:3] + WORDS[4:] + BEYOND[:1],
            Outcome.CUT_SILENTLY,
            1,
            0,
        ),  # one lost, the count is right
        (WORDS[:5] + WORDS[7:], Outcome.CUT_SILENTLY, 2, 0),
        (WORDS[:6], Outcome.CUT_SILENTLY, 2, 0),  # the end is missing
        (WORDS[:4] + WORDS[3:], Outcome.DOUBLED, 0, 1),  # one twice, and one too many
        (WORDS[:4] + WORDS[3:-1], Outcome.DOUBLED, 0, 1),  # one twice, the count is right
        (WORDS[:4] + WORDS[2:], Outcome.DOUBLED, 0, 2),
        (WORDS + WORDS[-1:], Outcome.DOUBLED, 0, 1),  # the last twice
        (WORDS + BEYOND[:2], Outcome.DOUBLED, 0, 2),  # it wrote on
        ((*WORDS[:3], " banana", *WORDS[4:]), Outcome.CUT_SILENTLY, 1, 0),  # another word
    ],
)
def test_tokens_lost_and_doubled(
    texts: tuple[str, ...], outcome: Outcome, missing: int, doubled: int
) -> None:
    found = verdict([event(ROLE), *words(*texts), DONE])
    assert (found.outcome, found.missing, found.doubled) == (outcome, missing, doubled)


@pytest.mark.parametrize("finish", ["abort", "stop", "length"])
def test_an_early_end_that_looks_like_one_is_cut(finish: str) -> None:
    blocks = [
        event(ROLE),
        *(event(delta(word)) for word in WORDS[:3]),
        event(delta("", finish)),
        DONE,
    ]
    found = verdict(blocks)
    assert (found.outcome, found.missing) == (Outcome.CUT_SILENTLY, 5)


def test_done_without_a_word_is_cut() -> None:
    assert verdict([event(ROLE), DONE]).outcome is Outcome.CUT_SILENTLY
    assert verdict([event(ROLE), *RIGHT[1:4], DONE]).outcome is Outcome.CUT_SILENTLY


def test_an_error_event_is_loud() -> None:
    error = event({"error": {"message": "the replica died", "type": "x", "code": "upstream_broke"}})
    found = verdict([*RIGHT[:4], error])
    assert found == Verdict(Outcome.FAILED_LOUDLY, "upstream_broke: the replica died")
    assert verdict([*RIGHT[:4], error, DONE]).outcome is Outcome.FAILED_LOUDLY
    assert (
        verdict([*RIGHT[:4], error], complete=False, end=End.RESET).outcome is Outcome.FAILED_LOUDLY
    )


def test_a_token_lost_before_an_error_is_still_lost() -> None:
    error = event({"error": {"message": "x", "code": "y"}})
    blocks = [event(ROLE), *(event(delta(word)) for word in WORDS[:2] + WORDS[3:6]), error]
    assert verdict(blocks).outcome is Outcome.CUT_SILENTLY


@pytest.mark.parametrize("end", [End.CLOSED, End.RESET, End.SILENT])
def test_an_end_without_a_word_is_lost(end: End) -> None:
    assert verdict(RIGHT[:4], complete=False, end=end).outcome is Outcome.LOST


def test_a_stream_that_just_ends_is_lost() -> None:
    assert verdict(RIGHT[:4]).outcome is Outcome.LOST


@pytest.mark.parametrize(
    ("blocks", "why"),
    [
        (RIGHT[:-1], "0 times [DONE]"),
        ([*RIGHT, DONE], "an event after [DONE]; 2 times [DONE]"),
        ([*RIGHT[:4], event(ROLE), *RIGHT[4:]], "a role after the first token"),
        (RIGHT[1:], "roles [] instead of ['assistant']"),
        ([*RIGHT[:-1], event(delta("", "length")), DONE], "finish reasons ['length', 'length']"),
        ([*RIGHT[:-2], event(delta(WORDS[-1])), event(delta("", "stop")), DONE], "finish reasons ['stop']"),
        ([*RIGHT[:-1], event(USAGE), DONE], "1 usages instead of 0"),
        ([*RIGHT[:4], b'data: {"id":\n\n', *RIGHT[4:]], "no event: "),
        ([*RIGHT[:4], b"\xff\x00\n\n", *RIGHT[4:]], "no event: "),
        ([*RIGHT[:4], b'data: {"id":"\xc3"}\n\n', *RIGHT[4:]], "no event: "),
    ],
)  # fmt: skip
def test_a_wrong_form_is_broken(blocks: list[bytes], why: str) -> None:
    found = verdict(blocks)
    assert found.outcome is Outcome.BROKEN
    assert why in found.why


def test_two_ids_are_broken() -> None:
    other = frame(
        "chatcmpl-2", choices=[{"index": 0, "delta": {"content": WORDS[3]}, "finish_reason": None}]
    )
    found = verdict([*RIGHT[:4], event(other), *RIGHT[5:]])
    assert found == Verdict(Outcome.BROKEN, "more than one id ['chatcmpl-1', 'chatcmpl-2']")


def test_another_index_is_broken() -> None:
    other = frame(choices=[{"index": 1, "delta": {"content": WORDS[3]}, "finish_reason": None}])
    assert verdict([*RIGHT[:4], event(other), *RIGHT[5:]]).why == "indices [0, 1]"


@pytest.mark.parametrize(
    ("used", "outcome"),
    [
        ((5, 8, 13), Outcome.WHOLE),
        ((5, 6, 11), Outcome.CUT_SILENTLY),
        ((5, 11, 16), Outcome.DOUBLED),
        ((8, 8, 16), Outcome.BROKEN),  # the continuation's longer prompt
        ((5, 8, 16), Outcome.BROKEN),
    ],
)
def test_a_usage_counts_every_token_once(used: tuple[int, int, int], outcome: Outcome) -> None:
    names = ("prompt_tokens", "completion_tokens", "total_tokens")
    usage = frame(choices=[], usage=dict(zip(names, used, strict=True)))
    assert verdict([*RIGHT[:-1], event(usage), DONE], asked={"usage": True}).outcome is outcome


def test_two_usages_and_none_are_broken() -> None:
    asked = {"usage": True}
    assert verdict(RIGHT, asked=asked).why == "0 usages instead of 1"
    twice = [*RIGHT[:-1], event(USAGE), event(USAGE), DONE]
    assert verdict(twice, asked=asked).why == "2 usages instead of 1"


def test_token_ids_are_counted_and_compared() -> None:
    def answer(ids: list[int]) -> list[bytes]:
        choices = [
            {"index": 0, "delta": {"content": t}, "finish_reason": None, "token_ids": [i]}
            for t, i in zip(WORDS, ids, strict=False)
        ]
        choices[-1]["finish_reason"] = "length"
        return [event(ROLE), *(event(frame(choices=[one])) for one in choices), DONE]

    asked = {"ids": True}
    assert verdict(answer(list(range(10, 18))), asked=asked).outcome is Outcome.WHOLE
    assert verdict(answer([10, 11, 12, 13, 14, 15, 16, 99]), asked=asked).outcome is Outcome.BROKEN
    assert (
        verdict(answer(list(range(10, 16))), want=None, asked=asked).outcome is Outcome.CUT_SILENTLY
    )


def test_characters_of_several_tokens_and_a_multibyte_text() -> None:
    want = Want((" le", "", "", "🌊", " é", "", "水", " fin"), prompt_tokens=5)
    asked = {"tokens": 8}
    texts = (" le", "🌊", " é", "水", " fin")
    assert (
        verdict([event(ROLE), *words(*texts), DONE], want=want, asked=asked).outcome
        is Outcome.WHOLE
    )
    broken = (" le", "\ufffd", " é", "水", " fin")
    assert verdict([event(ROLE), *words(*broken), DONE], want=want, asked=asked).outcome in BAD


def test_an_answer_that_is_not_streamed() -> None:
    asked = an_ask(stream=False)
    body = delta(
        "".join(WORDS),
        "length",
        usage={"prompt_tokens": 5, "completion_tokens": 8, "total_tokens": 13},
    )
    body["choices"][0] = {
        "index": 0,
        "message": {"role": "assistant", "content": "".join(WORDS)},
        "finish_reason": "length",
    }
    assert judge(seen_whole(asked, body), WANT) == Verdict(Outcome.WHOLE)
    body["choices"][0]["message"]["content"] = "".join(WORDS[:-1])
    assert judge(seen_whole(asked, body), WANT).outcome is Outcome.CUT_SILENTLY
    cut = seen_whole(asked, body, length=9999)
    assert judge(cut, WANT).outcome is Outcome.LOST


def seen_whole(asked: Any, body: object, status: str = "200 OK", length: int | None = None) -> Any:
    data = json.dumps(body).encode()
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length or len(data)}\r\n\r\n"
    return read(asked, 0.0, [(1.0, head.encode()), (2.0, data)], 2.0, End.CLOSED)


def test_a_refusal_before_any_token() -> None:
    body = {"error": {"message": "come back later", "code": "queue_full"}}
    found = judge(seen_whole(an_ask(), body, "429 Too Many Requests"), WANT)
    assert found == Verdict(Outcome.REFUSED, "429 queue_full: come back later")


def test_no_answer_at_all() -> None:
    assert judge(read(an_ask(), 0.0, [], 9.0, End.NO_CONNECTION)).outcome is Outcome.REFUSED
    for end in (End.CLOSED, End.RESET, End.SILENT):
        assert judge(read(an_ask(), 0.0, [], 9.0, end)).outcome is Outcome.LOST


@given(st.data())
def test_no_harm_to_the_tokens_goes_unseen(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(WORDS)))
    length = data.draw(st.integers(1, 4))
    twice = data.draw(st.booleans())
    keeps_count = data.draw(st.booleans())
    everything = WORDS + BEYOND
    cut = everything[:at] + everything[max(0, at - length) if twice else at + length :]
    texts = cut[: len(WORDS)] if keeps_count else cut[: -len(BEYOND)]
    if not texts:
        return
    found = verdict([event(ROLE), *words(*texts), DONE])
    assert (found.outcome is Outcome.WHOLE) == ("".join(texts) == "".join(WORDS))
    assert found.outcome in {Outcome.WHOLE, Outcome.CUT_SILENTLY, Outcome.DOUBLED}
