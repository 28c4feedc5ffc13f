"""Asks an engine for greedy answers, and how likely it finds a given text, token by token.

Straight to the engine's own address: vLLM gives the token ids of an answer (`return_token_ids`) and
the log-probabilities of a prompt (`prompt_logprobs`), which a gateway need not know.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import httpx
import msgspec

from headrace.bench.target import Target
from headrace.experiments.errors import ExperimentError

_PATIENCE = 300.0
T = TypeVar("T")
R = TypeVar("R")


class Reply(msgspec.Struct, frozen=True):
    """A greedy answer: its text, the ids of its tokens and of the prompt's."""

    text: str
    ids: tuple[int, ...]
    prompt: tuple[int, ...]


class Likely(msgspec.Struct, frozen=True):
    """How likely tokens are: `nats` is the sum of -log p, `first` how many were the likeliest."""

    tokens: int
    nats: float
    first: int

    @property
    def mean(self) -> float:
        """Nats for each token; 0 without one."""
        return self.nats / self.tokens if self.tokens else 0.0


class Asker:
    """Asks one engine, `together` requests at a time: near ties fall otherwise in other batches."""

    def __init__(self, http: httpx.AsyncClient, where: Target, together: int) -> None:
        self._http, self._where = http, where
        self._turn = asyncio.Semaphore(together)

    async def replies(self, prompts: Sequence[str], tokens: int) -> list[Reply]:
        """Return the greedy continuation of each prompt."""
        return await self._each(prompts, lambda prompt: self._reply(prompt, tokens))

    async def likely(self, texts: Sequence[str]) -> list[Likely]:
        """Return how likely each text is, its first token apart."""
        return await self._each(texts, lambda text: self._likely(text, 1))

    async def likely_answers(self, replies: Sequence[Reply]) -> list[Likely]:
        """Return how likely each answer is after its prompt."""
        return await self._each(
            replies, lambda one: self._likely([*one.prompt, *one.ids], len(one.prompt))
        )

    async def _each(self, some: Sequence[T], ask: Callable[[T], Awaitable[R]]) -> list[R]:
        async def one(item: T) -> R:
            async with self._turn:
                return await ask(item)

        return list(await asyncio.gather(*map(one, some)))

    async def _reply(self, prompt: str, tokens: int) -> Reply:
        body = {"prompt": prompt, "max_tokens": tokens, "return_token_ids": True}
        choice = await self._choice(body)
        return Reply(
            choice["text"],
            tuple(choice["token_ids"] or ()),
            tuple(choice["prompt_token_ids"] or ()),
        )

    async def _likely(self, prompt: str | list[int], begin: int) -> Likely:
        body = {"prompt": prompt, "max_tokens": 1, "prompt_logprobs": 0, "return_token_ids": True}
        choice = await self._choice(body)
        try:
            told = list(zip(choice["prompt_token_ids"], choice["prompt_logprobs"], strict=True))
            own = [likely[str(token)] for token, likely in told[begin:]]
        except (KeyError, TypeError, ValueError) as error:
            raise ExperimentError(f"{self._where.address} tells no likelihoods") from error
        return Likely(
            tokens=len(own),
            nats=-sum(one["logprob"] for one in own),
            first=sum(one["rank"] == 1 for one in own),
        )

    async def _choice(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return the one choice of an answer; ExperimentError if the engine does not tell."""
        url = f"{self._where.address}/completions"
        try:
            asked = {**body, "model": self._where.model, "temperature": 0}
            answer = await self._http.post(url, json=asked, timeout=_PATIENCE)
            answer.raise_for_status()
            choice: dict[str, Any] = answer.json()["choices"][0]
        except (httpx.HTTPError, ValueError, KeyError, IndexError, TypeError) as error:
            raise ExperimentError(f"{url}: no usable answer: {error or repr(error)}") from error
        if "prompt_token_ids" not in choice:
            raise ExperimentError(f"{url} does not tell token ids, so answers cannot be compared")
        return choice
