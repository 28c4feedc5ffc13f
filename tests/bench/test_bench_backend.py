"""What the back end says is what vLLM says: JSON events of the real ones' shape and size."""

import json
import re

from bench.backend import Events


def payload(one_chunk: bytes) -> dict[str, object]:
    size, event = one_chunk.split(b"\r\n", 1)
    assert len(event) == int(size, 16) + 2
    matched = re.fullmatch(rb"data: (.*)\n\n\r\n", event)
    assert matched
    found: dict[str, object] = json.loads(matched[1])
    return found


def test_a_chat_stream_reads_like_vllms() -> None:
    events = Events(chat=True, tokens=7, with_usage=True)
    assert list(payload(events.next)) == ["id", "object", "created", "model", "choices"]
    assert payload(events.first)["choices"] == [
        {
            "index": 0,
            "delta": {"role": "assistant", "content": ""},
            "logprobs": None,
            "finish_reason": None,
        }
    ]
    assert payload(events.last)["choices"] == [
        {
            "index": 0,
            "delta": {"content": " headrace"},
            "logprobs": None,
            "finish_reason": "length",
            "stop_reason": None,
            "token_ids": None,
        }
    ]
    assert payload(events.usage)["choices"] == []
    assert payload(events.usage)["usage"] == {
        "prompt_tokens": 380,
        "total_tokens": 387,
        "completion_tokens": 7,
    }
    assert 200 < len(events.next) < 300


def test_the_fingerprint_is_on_the_last_event_only() -> None:
    for with_usage in (True, False):
        events = Events(chat=True, tokens=7, with_usage=with_usage)
        stamped = "system_fingerprint" in payload(events.last)
        assert stamped is not with_usage
    assert events.usage == b""


def test_a_completion_has_text_and_no_role() -> None:
    events = Events(chat=False, tokens=7, with_usage=False)
    assert payload(events.first) == payload(events.next)
    assert '"text": " headrace"' in json.dumps(payload(events.next))
