"""What an engine twin must answer to an ask, worked out here from the prompt alone.

A twin's text follows from the prompt and nothing else, so every lost or doubled token shows. No
twin is asked for it: one that is wrong would agree with itself.
"""

from __future__ import annotations

from headrace.drill.asks import Ask
from headrace.drill.judge import Want
from headrace.emulation.text import Detokenizer, Writer, encode

_BEYOND = 16
"""Tokens after the right end, to recognise an engine that lost count."""


def prompt_of(ask: Ask) -> str:
    """Return the prompt as the twin reads it: a chat goes through its template (ChatML)."""
    if not ask.chat:
        return ask.prompt
    turns = (f"<|im_start|>{one['role']}\n{one['content']}<|im_end|>\n" for one in ask.messages)
    return f"{''.join(turns)}<|im_start|>assistant\n"


def expected(ask: Ask) -> Want:
    """Return the right answer to an ask."""
    prompt = prompt_of(ask)
    writer, text = Writer(prompt, endless=True), Detokenizer()
    tokens = (writer.next() for _ in range(ask.tokens + _BEYOND))
    ids = tuple(token for token in tokens if token is not None)
    return Want(tuple(map(text.push, ids)), len(encode(prompt)), ids)
