"""Conversations against an address: their beginnings keep to the clock, whatever the answers do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.fleet.client import Answer, Target, ask
from bench.fleet.talks import Talk

_PATIENCE = 120.0
"""Seconds for one answer."""


@dataclass(frozen=True)
class Turn:
    """One answered question; `late`: seconds that it was sent after its time."""

    kind: str
    number: int
    answer: Answer
    late: float


async def drive(target: Target, talks: Sequence[Talk]) -> list[Turn]:
    """Hold all conversations; return their turns."""
    begin = time.perf_counter() + 0.2
    held = await asyncio.gather(*(_hold(target, talk, begin + talk.start) for talk in talks))
    return [turn for turns in held for turn in turns]


async def _hold(target: Target, talk: Talk, due: float) -> list[Turn]:
    said: list[dict[str, str]] = []
    if talk.system:
        said.append({"role": "system", "content": talk.system})
    turns: list[Turn] = []
    for number, question in enumerate(talk.asks):
        await asyncio.sleep(due - time.perf_counter())
        late = time.perf_counter() - due
        said.append({"role": "user", "content": question})
        answer = await ask(target, _body(talk, said), _PATIENCE)
        turns.append(Turn(talk.kind, number, answer, late))
        if answer.wrong:
            break
        said.append({"role": "assistant", "content": answer.text})
        due = time.perf_counter() + talk.pause
    return turns


def _body(talk: Talk, said: list[dict[str, str]]) -> dict[str, Any]:
    return {
        "model": talk.model,
        "max_tokens": talk.tokens,
        "min_tokens": talk.tokens,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
        "messages": said,
    }
