"""Log probabilities in OpenAI's two shapes: plausible numbers that follow from the tokens alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headrace.emulation.text import piece


def _text(token: int) -> str:
    return piece(token).decode("utf-8", "replace")


def _own(token: int) -> float:
    return -0.01 * (1 + token % 7)


def _others(token: int, count: int) -> list[tuple[int, float]]:
    """Return the token itself and others, likeliest first."""
    rest = [(32 + (token + step) % 90, -3.0 - step) for step in range(1, count)]
    return [(token, _own(token)), *rest][:count]


def for_completion(tokens: Sequence[int], top: int, offset: int) -> dict[str, Any]:
    """Return a completion's logprobs; `offset` characters of text came before."""
    offsets: list[int] = []
    for token in tokens:
        offsets.append(offset)
        offset += len(_text(token))
    return {
        "text_offset": offsets,
        "token_logprobs": [_own(token) for token in tokens],
        "tokens": [_text(token) for token in tokens],
        "top_logprobs": [
            {_text(other): value for other, value in _others(token, max(1, top))}
            for token in tokens
        ],
    }


def for_chat(tokens: Sequence[int], top: int) -> dict[str, Any]:
    """Return a chat's logprobs."""
    return {"content": [_entry(token, top) for token in tokens]}


def _entry(token: int, top: int) -> dict[str, Any]:
    likely = [_one(other, value) for other, value in _others(token, top)]
    return _one(token, _own(token)) | {"top_logprobs": likely}


def _one(token: int, value: float) -> dict[str, Any]:
    return {"token": _text(token), "logprob": value, "bytes": list(piece(token))}
