"""A built load as a file for another load generator: the same requests, sent by somebody else.

So a result can be checked with a tool that shares nothing with ours. All formats are JSON lines:
Mooncake's trace (lengths and block hashes, no texts), aiperf's `mooncake_trace` with the texts,
GuideLLM's columns, and the custom dataset of `vllm bench serve`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from headrace.bench.asks import Ask
from headrace.bench.tokens import Tokenizer
from headrace.models.lock import replace_file
from headrace.traffic.errors import TrafficError

BLOCK = 512
"""Tokens of a block in Mooncake's traces."""
Line = dict[str, Any]


def export(asks: Sequence[Ask], name: str, file: Path, tokenizer: Tokenizer) -> None:
    """Write a load in one of `FORMATS`; TrafficError if that cannot hold it, or the file fails."""
    if name not in FORMATS:
        raise TrafficError(f"no format is called {name}; known are {', '.join(FORMATS)}")
    data = b"".join(msgspec.json.encode(line) + b"\n" for line in FORMATS[name](asks, tokenizer))
    try:
        replace_file(file, data)
    except OSError as error:
        raise TrafficError(f"{file}: {error.strerror or error}") from error


def mooncake(asks: Sequence[Ask], tokenizer: Tokenizer) -> Iterator[Line]:
    """Yield arrivals in ms, lengths, and hashes of blocks; equal ones stand for equal beginnings.

    Lengths are of the texts, since a template is added by who sends them.
    """
    _check_single("mooncake", asks)
    hashes: dict[tuple[int, tuple[int, ...]], int] = {}
    for ask in asks:
        tokens = tokenizer.encode(_whole_text(ask))
        before, found = -1, []
        for at in range(0, len(tokens), BLOCK):
            before = hashes.setdefault((before, tuple(tokens[at : at + BLOCK])), len(hashes))
            found.append(before)
        yield _timed(ask) | {
            "input_length": len(tokens),
            "output_length": ask.max_tokens,
            "hash_ids": found,
        }


def aiperf(asks: Sequence[Ask], _: Tokenizer) -> Iterator[Line]:
    """Yield lines for `aiperf profile --custom-dataset-type mooncake_trace`, sessions by deltas."""
    for ask in asks:
        line: Line = {"output_length": ask.max_tokens}
        if ask.session is not None:
            line |= {"session_id": f"session-{ask.session}", "message_mode": "delta"}
        if isinstance(ask.prompt, str):
            if ask.session is not None:
                raise TrafficError("aiperf takes sessions as chats only, not as text")
            line["text_input"] = ask.prompt
        else:
            line["messages"] = ask.prompt
        yield line | ({"delay": round(ask.wait * 1000)} if ask.turn else _timed(ask))


def guidellm(asks: Sequence[Ask], _: Tokenizer) -> Iterator[Line]:
    """Yield the columns that `guidellm benchmark --data FILE` looks for by itself."""
    for ask, text in _texts("guidellm", asks):
        yield {
            "prompt": text,
            "prompt_tokens_count": ask.prompt_tokens,
            "output_tokens_count": ask.max_tokens,
        }


def vllm(asks: Sequence[Ask], _: Tokenizer) -> Iterator[Line]:
    """Yield lines for `vllm bench serve --dataset-name custom --custom-output-len -1`.

    With `--skip-chat-template`, since the server adds it, and `--disable-shuffle`.
    """
    for ask, text in _texts("vllm", asks):
        yield {"prompt": text, "output_tokens": ask.max_tokens}


FORMATS: dict[str, Callable[[Sequence[Ask], Tokenizer], Iterator[Line]]] = {
    "mooncake": mooncake,
    "aiperf": aiperf,
    "guidellm": guidellm,
    "vllm": vllm,
}


def _timed(ask: Ask) -> Line:
    return {} if ask.at is None else {"timestamp": round(ask.at * 1000)}


def _texts(name: str, asks: Sequence[Ask]) -> Iterator[tuple[Ask, str]]:
    """Yield the texts of requests that are one text each, which their sender makes a chat of."""
    _check_single(name, asks)
    for ask in asks:
        if not isinstance(ask.prompt, str) and len(ask.prompt) > 1:
            raise TrafficError(f"{name} takes one text a request, and there are system messages")
        yield ask, _whole_text(ask)


def _check_single(name: str, asks: Sequence[Ask]) -> None:
    if any(ask.turn for ask in asks):
        raise TrafficError(f"{name} has no sessions, whose later turns need earlier answers")


def _whole_text(ask: Ask) -> str:
    if isinstance(ask.prompt, str):
        return ask.prompt
    return " ".join(one.content for one in ask.prompt)
