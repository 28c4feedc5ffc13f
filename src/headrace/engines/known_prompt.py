"""The known prompt: the request whose right answer makes a replica ready.

A process that answers `/health` may still be loading or wrong. The default prompt has a wide
margin: SmolLM2-135M continues it with at least 0.94 per token in every precision, parallelism and
batch tried, where a near tie would turn with the batch size and blame a healthy replica. A model
may declare its own in the fleet file.
"""

from __future__ import annotations

import math
from typing import Any

from headrace.fleet.types import KnownPrompt

DEFAULT = KnownPrompt(prompt="1, 2, 3, 4, 5, 6,", answer=" 7,")
_TOKENS_SPARE = 4
_SHOWN = 80


def probe_request(
    known: KnownPrompt | None, served_name: str, *, embeds: bool = False
) -> tuple[str, dict[str, Any]]:
    """Return path and JSON body of the known prompt; `embeds` for a model that only embeds."""
    known = known or DEFAULT
    if embeds:
        return "/v1/embeddings", {"model": served_name, "input": known.prompt}
    body = {"model": served_name, "prompt": known.prompt, "temperature": 0, "stream": False}
    # No token is shorter than one byte, so this always reaches the end of the answer.
    return "/v1/completions", body | {"max_tokens": len(known.answer.encode()) + _TOKENS_SPARE}


def judge(known: KnownPrompt | None, response: Any, *, embeds: bool = False) -> str | None:
    """Return None if the answer is right, else what was expected and what came."""
    if embeds:
        return _judge_vector(response)
    known = known or DEFAULT
    try:
        text = response["choices"][0]["text"]
    except (KeyError, IndexError, TypeError):
        return f"the known prompt got no completion but {_short(response)}"
    if isinstance(text, str) and text.strip().startswith(known.answer.strip()):
        return None
    wanted = f"the known prompt {known.prompt!r} must be continued with {known.answer!r}"
    return f"{wanted}, but came {_short(text)}"


def silent(response: Any) -> bool:
    """Whether a completion is empty: while it drains, vLLM answers newcomers with nothing."""
    try:
        return bool(response["choices"][0]["text"] == "")
    except (KeyError, IndexError, TypeError):
        return False


def _judge_vector(response: Any) -> str | None:
    try:
        vector = [float(x) for x in response["data"][0]["embedding"]]
    except (KeyError, IndexError, TypeError, ValueError):
        return f"the known prompt got no embedding but {_short(response)}"
    if vector and all(map(math.isfinite, vector)) and any(vector):
        return None
    return f"the known prompt got an embedding of {len(vector)} numbers, not finite or all zero"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
