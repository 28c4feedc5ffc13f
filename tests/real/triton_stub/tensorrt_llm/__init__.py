"""TensorRT-LLM's LLM API as far as Headrace's Triton model uses it: it echoes words, one at a time."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

PACE = float(os.environ.get("STUB_PACE", "0.05"))
"""Seconds for a token."""


def say(words: str) -> None:
    sys.stdout.write(f"STUB {words}\n")
    sys.stdout.flush()


class SamplingParams:
    def __init__(self, max_tokens: int = 32, stop: list[str] | None = None, **others: Any) -> None:
        self.max_tokens, self.stop, self.others = max_tokens, stop or [], others


@dataclass
class Output:
    text: str = ""
    text_diff: str = ""
    token_ids: list[int] = field(default_factory=list)
    token_ids_diff: list[int] = field(default_factory=list)


class Result:
    def __init__(self, prompt: str, params: SamplingParams, *, streaming: bool) -> None:
        self._words, self._params, self._streaming = prompt.split(), params, streaming
        self.prompt_token_ids = list(range(len(self._words)))
        self.outputs, self.finished, self._aborted = [Output()], False, False

    def abort(self) -> None:
        say("aborted")
        self._aborted = True

    async def __aiter__(self) -> AsyncIterator[Result]:
        output = self.outputs[0]
        for number in range(self._params.max_tokens):
            await asyncio.sleep(PACE)
            word = self._words[number % len(self._words)]
            if word == "FAIL":
                raise RuntimeError("the executor is gone")
            self.finished = number + 1 == self._params.max_tokens or word in self._params.stop
            output.text_diff, output.token_ids_diff = f"{word} ", [number]
            output.text += output.text_diff
            output.token_ids.append(number)
            if self._aborted:
                return
            if self._streaming or self.finished:
                yield self
            if self.finished:
                return


class LLM:
    def __init__(self, **given: Any) -> None:
        say(f"given {sorted(given.items())}")

    def generate_async(
        self, prompt: str, params: SamplingParams, streaming: bool = False
    ) -> Result:
        return Result(prompt, params, streaming=streaming)

    def shutdown(self) -> None:
        say("shut down")
