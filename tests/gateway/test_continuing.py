"""A stream that breaks goes on elsewhere, and the client cannot tell but for the pause."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from continuing_kit import (
    COMPLETION,
    begin,
    break_by,
    expect,
    goes_on,
    other,
    rest,
    role,
    text_event,
)
from harness import (
    DONE,
    STREAM,
    engine,
    rig,
    token,
    usage_event,
)


@pytest.mark.parametrize(
    "how", ["closed", "reset", "error", "abort", "done", "end", "garbage", "half an event"]
)
async def test_a_broken_chat_goes_on_as_if_nothing_had_happened(tmp_path: Path, how: str) -> None:
    async with engine() as one, engine() as two, rig(records=tmp_path / "log") as it:
        it.replicas(one, two)
        told = [role(), *(token(f" {n}") for n in range(12))]
        wire, asked = await begin(it, one, told)
        break_by(asked, how)
        again = await two.next()
        body = json.loads(again.body)
        assert body["messages"] == [
            *STREAM["messages"],
            {"role": "assistant", "content": " 0 1 2 3 4 5 6 7 8 9 10 11"},
        ]
        assert (body["continue_final_message"], body["add_generation_prompt"]) == (True, False)
        goes_on(again, role(), token(" 12"), token(" é🌍"), token("", "stop"), usage_event(22, 3))
        assert [json.loads(event[5:]) for event in (await rest(wire))[:-1]] == [
            json.loads(event[5:]) for event in (token(" 12"), token(" é🌍"), token("", "stop"))
        ]
        (record,) = it.records_written()
        assert (record["outcome"], record["continuations"], record["attempts"]) == ("ok", 1, 2)
        # The second replica counted 22 tokens of prompt, 12 of which the first one had generated.
        assert (record["prompt_tokens"], record["completion_tokens"]) == (10, 15)
        assert record["replica"] == f"d-{two.port}"
        assert it.demand().running == 0


async def test_a_completion_goes_on_from_prompt_and_text_with_fewer_tokens_to_come() -> None:
    async with engine() as one, engine() as two, rig() as it:
        it.replicas(one, two)
        wire, asked = await begin(
            it, one, [text_event(" a"), text_event(" b")], COMPLETION | {"min_tokens": 5}, "/v1/completions"
        )  # fmt: skip
        asked.writer.close()
        again = await two.next()
        body = json.loads(again.body)
        assert again.head.startswith("POST /v1/completions ")
        assert (body["prompt"], body["max_tokens"], body["min_tokens"]) == ("Once a b", 8, 3)
        goes_on(again, text_event(" c", "length"))
        assert await rest(wire) == [text_event(" c", "length"), DONE]


async def test_a_stream_breaks_twice_and_its_usage_counts_every_token_once() -> None:
    async with engine() as one, engine() as two, engine() as three, rig() as it:
        it.replicas(one, two, three)
        asks = STREAM | {"stream_options": {"include_usage": True}}
        wire, asked = await begin(it, one, [role(), *(token(f" {n}") for n in range(9))], asks)
        asked.writer.close()
        second = await two.next()
        second.start_stream()
        for n in range(9, 18):
            second.send_chunk(other(token(f" {n}")))
        assert (await wire.chunk()).startswith(b": continued by d-")
        await expect(wire, b"".join(token(f" {n}") for n in range(9, 18)))
        second.writer.close()
        third = await three.next()
        content = "".join(f" {n}" for n in range(18))
        assert json.loads(third.body)["messages"][-1]["content"] == content
        third.start_stream()
        for event in (token(" 18"), token("", "stop"), usage_event(28, 2)):
            third.send_chunk(other(event))
        third.end_stream()
        *_, usage, done = await rest(wire)
        assert json.loads(usage[5:]) == json.loads(usage_event(10, 20)[5:])
        assert done == DONE


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"n": 2}, "several answers"),
        ({"response_format": {"type": "json_object"}}, "guided decoding"),
        ({"structured_outputs": {"regex": "a"}}, "guided decoding"),
        ({"tool_choice": "required"}, "forced tool call"),
        ({"echo": True}, "echo"),
        ({"use_beam_search": True}, "beam search"),
    ],
)
async def test_what_replay_would_corrupt_fails_loudly(
    tmp_path: Path, more: dict[str, Any], why: str
) -> None:
    async with engine() as one, engine() as two, rig(records=tmp_path / "log") as it:
        it.replicas(one, two)
        wire, asked = await begin(it, one, [role(), token(" a"), token(" b")], STREAM | more)
        asked.writer.close()
        (event,) = await rest(wire)
        error = json.loads(event[5:])["error"]
        assert error["code"] == "not_continued"
        assert why in error["message"]
        assert two.connections == 0
        assert it.records_written()[0]["outcome"] == "not_continued"


@pytest.mark.parametrize(
    ("delta", "why"),
    [
        ('{"tool_calls":[{"index":0,"function":{"arguments":"{"}}]}', "tool_calls"),
        ('{"reasoning":"hm"}', "reasoning"),
    ],
)
async def test_inside_a_tool_call_or_reasoning_it_fails_loudly(delta: str, why: str) -> None:
    async with engine() as one, engine() as two, rig() as it:
        it.replicas(one, two)
        special = token("").replace(b'{"content":""}', delta.encode())
        wire, asked = await begin(it, one, [role(), token("a"), special])
        asked.writer.close()
        assert why in json.loads((await rest(wire))[0][5:])["error"]["message"]
        assert two.connections == 0


async def test_a_route_that_says_off_fails_loudly() -> None:
    async with engine() as one, engine() as two, rig(continuation="off") as it:
        it.replicas(one, two)
        wire, asked = await begin(it, one, [role(), token("a")])
        asked.writer.close()
        assert b"does not continue streams" in (await rest(wire))[0]


async def test_a_chat_goes_on_from_token_ids_where_the_route_asks_for_it() -> None:
    async with engine() as one, engine() as two, rig(continuation="exact") as it:
        it.replicas(one, two)
        wire = await it.post(STREAM | {"temperature": 0, "max_tokens": 9, "stop": ["X"]})
        asked = await one.next()
        assert json.loads(asked.body)["return_token_ids"] is True
        asked.start_stream()
        opening = role().replace(b'"choices"', b'"prompt_token_ids":[1,2,3],"choices"')
        asked.send_chunk(opening)
        for text, ids in ((" a", b"[4]"), (" b", b"[5,6]"), ("", b"[7]")):
            asked.send_chunk(token(text).replace(b'"token_ids":null', b'"token_ids":' + ids))
        await wire.head()
        shown = [opening.replace(b"[1,2,3]", b"null"), *map(token, (" a", " b", ""))]
        await expect(wire, b"".join(shown))
        asked.writer.close()
        again = await two.next()
        body = json.loads(again.body)
        assert again.head.startswith("POST /v1/completions ")
        # Token 7 gave no text: it is a part of a character that the next replica says whole.
        assert body["prompt"] == [1, 2, 3, 4, 5, 6]
        assert (body["max_tokens"], body["stop"], body["temperature"]) == (6, ["X"], 0)
        assert "messages" not in body
        goes_on(
            again, text_event("é", None, [7, 8]), text_event(" c", "length", [9]), usage_event(6, 3)
        )
        events = [json.loads(event[5:]) for event in (await rest(wire))[:-1]]
        assert [event["choices"][0]["delta"] for event in events] == [
            {"content": "é"},
            {"content": " c"},
        ]
        assert {event["id"] for event in events} == {"chatcmpl-1"}
        assert {event["object"] for event in events} == {"chat.completion.chunk"}
        assert [event["choices"][0]["token_ids"] for event in events] == [None, None]
        assert events[-1]["choices"][0]["finish_reason"] == "length"


async def test_ids_of_an_unfinished_character_are_not_said_twice() -> None:
    """The client asked for ids, so it has those of the tokens that gave no text yet."""
    async with engine() as one, engine() as two, rig() as it:
        it.replicas(one, two)
        asks = COMPLETION | {"return_token_ids": True}
        first = text_event("a", None, [4]).replace(
            b'"prompt_token_ids":null', b'"prompt_token_ids":[1]'
        )
        wire, asked = await begin(
            it, one, [first, text_event("", None, [5])], asks, "/v1/completions"
        )
        asked.writer.close()
        again = await two.next()
        assert json.loads(again.body)["prompt"] == [1, 4]
        goes_on(again, text_event("", None, [5]), text_event("é", "length", [6]))
        events = [json.loads(event[5:]) for event in (await rest(wire))[:-1]]
        assert [event["choices"][0]["token_ids"] for event in events] == [[], [6]]


async def test_white_space_that_a_template_strips_is_not_said_twice() -> None:
    async with engine() as one, engine() as two, rig() as it:
        it.replicas(one, two)
        wire, asked = await begin(it, one, [role(), token("One."), token("\n"), token("\n")])
        asked.writer.close()
        again = await two.next()
        assert json.loads(again.body)["messages"][-1]["content"] == "One."
        again.start_stream()
        for text in ("\n", "\nTwo"):
            again.send_chunk(other(token(text)))
        again.send_chunk(other(token("", "stop")))
        again.end_stream()
        assert await rest(wire) == [token("Two"), token("", "stop"), DONE]


async def test_a_text_does_not_go_on_from_white_space_that_reads_otherwise_before_a_word() -> None:
    """Real tokenizers write two line ends as one token at the end of a text, as two before a word.

    Seen with SmolLM2: from the one token the model went on with a text that it would not write.
    """
    async with engine() as one, engine() as two, rig() as it:
        it.replicas(one, two)
        body = COMPLETION | {"max_tokens": 9}
        told = [text_event(" begins:"), text_event("\n"), text_event("\n")]
        wire, asked = await begin(it, one, told, body, "/v1/completions")
        asked.writer.close()
        again = await two.next()
        seen = json.loads(again.body)
        assert (seen["prompt"], seen["max_tokens"]) == ("Once begins:", 8)
        again.start_stream()
        for text in ("\n", "\n", "The"):
            again.send_chunk(other(text_event(text)))
        again.send_chunk(other(text_event("", "length")))
        again.end_stream()
        assert await rest(wire) == [text_event("The"), text_event("", "length"), DONE]


async def test_only_the_end_was_missing() -> None:
    """All tokens came, but not the finish: the last is asked for again, and not told again."""
    async with engine() as one, engine() as two, rig() as it:
        it.replicas(one, two)
        body = COMPLETION | {"max_tokens": 2}
        wire, asked = await begin(
            it, one, [text_event(" a"), text_event(" b")], body, "/v1/completions"
        )
        asked.writer.close()
        again = await two.next()
        seen = json.loads(again.body)
        assert (seen["prompt"], seen["max_tokens"]) == ("Once a", 1)
        goes_on(again, text_event(" b", "length"))
        assert await rest(wire) == [text_event("", "length"), DONE]


async def test_an_answer_that_broke_after_its_finish_is_whole(tmp_path: Path) -> None:
    async with engine() as one, engine() as two, rig(records=tmp_path / "log") as it:
        it.replicas(one, two)
        wire, asked = await begin(it, one, [role(), token(" a")])
        asked.send_chunk(token(" b", "stop"))
        asked.writer.close()
        assert await rest(wire) == [token(" b", "stop"), DONE]
        assert two.connections == 0
        assert it.records_written()[0]["outcome"] == "ok"
