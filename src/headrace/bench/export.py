"""A load as a file for another load generator: the same prompts, sent by somebody else.

So a figure can be checked with a client that shares nothing with ours. Each JSON line has what the
custom dataset of `vllm bench serve` reads, and the columns of GuideLLM.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from headrace.bench.asks import Ask
from headrace.models.lock import replace_file
from headrace.traffic.errors import TrafficError


def export(asks: Sequence[Ask], file: Path) -> None:
    """Write a line for each request; TrafficError if a line cannot hold one, or the file fails."""
    data = b"".join(msgspec.json.encode(_line(ask)) + b"\n" for ask in asks)
    try:
        replace_file(file, data)
    except OSError as error:
        raise TrafficError(f"{file}: {error.strerror or error}") from error


def _line(ask: Ask) -> dict[str, Any]:
    """Return a request as one text, which its sender makes a chat of, if that is wanted."""
    if ask.turn:
        raise TrafficError("a file of prompts has no sessions: later turns need earlier answers")
    if isinstance(ask.prompt, str):
        text = ask.prompt
    elif len(ask.prompt) == 1:
        text = ask.prompt[0].content
    else:
        raise TrafficError("a file of prompts has one text a request, and no system messages")
    counted = {} if ask.prompt_tokens is None else {"prompt_tokens_count": ask.prompt_tokens}
    answer = {"output_tokens": ask.max_tokens, "output_tokens_count": ask.max_tokens}
    return {"prompt": text, **answer, **counted}
