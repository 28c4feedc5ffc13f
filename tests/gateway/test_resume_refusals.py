"""What is not continued, field by field, and how little of a stream is kept for those that are."""

import json
from typing import Any

import pytest

from headrace.gateway.continuation import CHAT, COMPLETIONS, Resumption, resume
from headrace.gateway.control import Resume
from headrace.gateway.transcript import MAX_KEPT, MAX_RAW, Transcript

BOTH = Resume(chat=True, token_ids=True)
CHATTED = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "Hello"}]}
COMPLETED = {"model": "m", "stream": True, "prompt": "Once", "max_tokens": 9}


def event(text: str) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    whole = {"id": "c", "object": "o", "created": 1, "model": "m", "choices": [choice]}
    return b"data: " + json.dumps(whole).encode() + b"\n\n"


def told(*texts: str) -> Transcript:
    transcript = Transcript()
    for text in texts:
        transcript.event(event(text))
    return transcript


def asked(path: str, body: dict[str, Any], engine: Resume = BOTH) -> Resumption | str:
    return resume(path, json.dumps(body).encode(), told(" a", " b").read(), engine)


@pytest.mark.parametrize("more", [{"n": 2}, {"best_of": 2}])
def test_more_than_one_answer(more: dict[str, Any]) -> None:
    assert asked(COMPLETIONS, COMPLETED | more) == "n or best_of above 1 cannot be replayed"


@pytest.mark.parametrize(
    "more",
    [
        {"response_format": {"type": "json_object"}},
        {"response_format": {"type": "json_schema", "json_schema": {}}},
        {"guided_json": {"type": "object"}},
        {"guided_regex": "a+"},
        {"guided_choice": ["a", "b"]},
        {"guided_grammar": "root ::= a"},
        {"structured_outputs": {"choice": ["a"]}},
        {"regex": "a+"},
        {"ebnf": "root ::= a"},
        {"json_schema": "{}"},
    ],
)
def test_guided_decoding(more: dict[str, Any]) -> None:
    assert asked(CHAT, CHATTED | more) == "guided decoding cannot be replayed"


@pytest.mark.parametrize(
    ("path", "more", "why"),
    [
        (CHAT, {"tool_choice": "required"}, "a forced tool call"),
        (CHAT, {"tool_choice": {"type": "function", "function": {"name": "f"}}}, "a forced tool"),
        (COMPLETIONS, {"logprobs": 1}, "logprobs with offsets"),
        (COMPLETIONS, {"logprobs": 0}, "logprobs with offsets"),
        (CHAT, {"prompt_logprobs": 1}, "prompt_logprobs"),
        (CHAT, {"use_beam_search": True}, "beam search"),
        (COMPLETIONS, {"echo": True}, "echo"),
        (COMPLETIONS, {"prompt": ["one", "two"]}, "several prompts"),
        (COMPLETIONS, {"prompt": [[1, 2], [3]]}, "several prompts"),
        (COMPLETIONS, {"prompt_embeds": "AAAA"}, "a prompt of embeddings"),
        (CHAT, {"truncate_prompt_tokens": 5}, "truncate_prompt_tokens"),
    ],
)
def test_what_would_be_another_answer(path: str, more: dict[str, Any], why: str) -> None:
    reason = asked(path, (CHATTED if path == CHAT else COMPLETED) | more)
    assert isinstance(reason, str)
    assert reason.startswith(why)


@pytest.mark.parametrize(
    "more",
    [
        {"n": 1},
        {"n": None, "best_of": None},
        {"response_format": {"type": "text"}},
        {"tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "auto"},
        {"logprobs": True, "top_logprobs": 2},  # a chat's have no offsets
    ],
)
def test_what_only_looks_like_it_is_continued(more: dict[str, Any]) -> None:
    assert isinstance(asked(CHAT, CHATTED | more), Resumption)


def test_an_engine_that_cannot_continue_a_chat() -> None:
    engine = Resume(chat=False, token_ids=False)
    assert asked(CHAT, CHATTED, engine) == "its engine cannot continue a chat"
    assert isinstance(asked(COMPLETIONS, COMPLETED, engine), Resumption)


def test_a_prompt_of_ids_whose_answer_came_without() -> None:
    reason = asked(COMPLETIONS, COMPLETED | {"prompt": [1, 2, 3]})
    assert reason == "a prompt of token ids needs an answer with token ids"


def test_a_message_to_continue_that_is_no_text() -> None:
    parts = {"role": "assistant", "content": [{"type": "text", "text": "I"}]}
    body = {"messages": [*CHATTED["messages"], parts], "continue_final_message": True}
    assert asked(CHAT, CHATTED | body) == "the message to continue is not plain text"


def test_a_stream_longer_than_what_is_kept_is_not_continued_and_holds_no_memory() -> None:
    transcript = told("x" * 1000)
    for _ in range(MAX_KEPT // 1000):
        transcript.event(event("x" * 1000))
        transcript.trim()  # as it is each second
    held = sum(map(len, transcript._segments)) + len(transcript.strings)
    assert held <= MAX_KEPT + MAX_RAW
    transcript.event(event("x" * 1000 * 40))  # beyond what is kept unread
    transcript.trim()
    assert (transcript._segments, bytes(transcript.strings)) == ([], b"")
    transcript.event(event("more"))
    transcript.trim()
    assert (transcript._segments, bytes(transcript.strings)) == ([], b"")
    reason = resume(CHAT, json.dumps(CHATTED).encode(), transcript.read(), BOTH)
    assert reason == "the answer is too long to be kept, which cannot be replayed"


def test_token_ids_go_with_the_text() -> None:
    transcript = Transcript()
    ids = {"prompt_token_ids": list(range(1000)), "token_ids": [7]}
    choice = {"index": 0, "text": "a", "finish_reason": None} | ids
    whole = {"id": "c", "object": "o", "created": 1, "model": "m", "choices": [choice]}
    transcript.event(b"data: " + json.dumps(whole).encode() + b"\n\n")
    assert transcript.read().ids == [7]
    transcript.give_up("it is inside tool_calls")
    transcript.piece("b", [8])
    transcript.trim()
    told = transcript.read()
    assert (told.ids, told.prompt_ids, told.pieces) == (None, None, [])


def test_a_usual_token_takes_some_eight_bytes() -> None:
    words = ["the", " river", " runs", " by", " the", " old", " mill", ",", " and", " we"]
    transcript = told(*(words * 100))
    transcript.read()  # folds what is kept as it came
    assert len(transcript.strings) == 100 * sum(len(word) + 2 for word in words)  # with the quotes
    assert len(transcript.strings) / 1000 < 8
