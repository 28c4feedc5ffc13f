"""Asks a real engine whether it could have written what the clients got.

The prompt and the whole answer go back to a replica as one prompt, and the engine tells for each
token how likely it was and which would have been likeliest. Greedy answers take the likeliest one,
near ties apart; a token lost or doubled at a splice makes what follows improbable. Special tokens
do not count as likeliest: the clients ask so that no answer ends early, and the engine then leaves
its end token out.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import httpx
import msgspec

from headrace.drill.seen import Seen

LIMIT = 0.7
"""Nats below the likeliest token that a near tie may lie, in bfloat16 and other batches."""
_REPAIRS = 12
_TOP = 20
_AT_ONCE = 2
_PATIENCE = 300.0
_SPECIAL = re.compile(r"<\|.*\|>|</?s>|<(eos|bos|pad|unk|end_of_turn|start_of_turn)>")
"""How special tokens are spelled, in the families of models that are about."""

Likely = Mapping[str, Mapping[str, Any]]
"""Token id to its `logprob`, `rank` and `decoded_token`, as vLLM's `prompt_logprobs` has them."""


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """What asking again brought; `worst_gap` in nats, `suspects` are the answers beyond LIMIT."""

    streams: int
    tokens: int
    worst_gap: float
    near_ties: int
    suspects: tuple[str, ...] = ()


class Gap(NamedTuple):
    """How far below the likeliest token the one at `at` lies, in nats."""

    at: int
    nats: float


def gaps(ids: Sequence[int], likely: Sequence[Likely | None], begin: int) -> list[Gap]:
    """Return the gap of each token from `begin` on."""
    found = []
    for at in range(begin, len(ids)):
        known = likely[at] or {}
        own = known.get(str(ids[at]))
        if own is None:
            found.append(Gap(at, float("inf")))
            continue
        found.append(Gap(at, max(0.0, _best(known) - own["logprob"])))
    return found


def _best(known: Likely) -> float:
    """Return the likeliest token's logprob, special tokens apart."""
    plain = (one for one in known.values() if not _is_special(str(one["decoded_token"])))
    return max((float(one["logprob"]) for one in plain), default=float("-inf"))


def _is_special(text: str) -> bool:
    return not text or _SPECIAL.fullmatch(text) is not None


def respelled(
    ids: Sequence[int], likely: Sequence[Likely | None], at: int
) -> list[tuple[int, str]]:
    """Return (token id, rest of the text) for tokens likely at `at` that spell the same text.

    A text has more than one spelling in tokens, and only its tokens are in question here.
    """
    text = "".join(
        str((likely[i] or {})[str(ids[i])]["decoded_token"]) for i in range(at, len(ids))
    )
    known = likely[at] or {}
    best = _best(known)
    return [
        (int(token), text[len(one["decoded_token"]) :])
        for token, one in sorted(known.items(), key=lambda item: -item[1]["logprob"])
        if int(token) != ids[at]
        and one["decoded_token"]
        and best - one["logprob"] <= LIMIT
        and text.startswith(one["decoded_token"])
    ]


@dataclass(frozen=True)
class Engine:
    """A replica to ask: its address, without path, and the model's name."""

    http: httpx.AsyncClient
    url: str
    model: str

    async def tokenize(self, what: Mapping[str, Any]) -> list[int]:
        """Return the token ids of a prompt or of messages."""
        tokens: list[int] = (await self._post("/tokenize", what))["tokens"]
        return tokens

    async def likely(self, ids: Sequence[int]) -> list[Likely | None]:
        """Return for each token of a prompt what the engine would have found likely there."""
        asked = {"prompt": list(ids), "max_tokens": 1, "temperature": 0, "prompt_logprobs": _TOP}
        choice = (await self._post("/v1/completions", asked))["choices"][0]
        found: list[Likely | None] = choice["prompt_logprobs"]
        return found

    async def _post(self, path: str, body: Mapping[str, Any]) -> Any:
        answer = await self.http.post(f"{self.url}{path}", json={"model": self.model, **body})
        answer.raise_for_status()
        return answer.json()


async def ask_again(url: str, model: str, answers: Sequence[Seen]) -> Checked:
    """Check answers with the replica at `url`; httpx.HTTPError if it does not answer."""
    turns = asyncio.Semaphore(_AT_ONCE)

    async def one(seen: Seen) -> list[Gap]:
        async with turns:
            return await check(Engine(http, url, model), seen)

    async with httpx.AsyncClient(trust_env=False, timeout=_PATIENCE) as http:
        results = await asyncio.gather(*(one(seen) for seen in answers))
    everything = [gap.nats for found in results for gap in found]
    return Checked(
        streams=len(answers),
        tokens=len(everything),
        worst_gap=round(max(everything, default=0.0), 3),
        near_ties=sum(0 < nats <= LIMIT for nats in everything),
        suspects=tuple(
            _told(seen, found)
            for seen, found in zip(answers, results, strict=True)
            if any(gap.nats > LIMIT for gap in found)
        ),
    )


def _told(seen: Seen, found: Sequence[Gap]) -> str:
    first = next(gap for gap in found if gap.nats > LIMIT)
    where = f"request {seen.ask.number}: token {first.at}"
    return f"{where} lies {first.nats:.2f} nat below the likeliest"


async def check(engine: Engine, seen: Seen) -> list[Gap]:
    """Return the gaps of one answer, by position in the answer.

    What another replica went on with followed from the text, so a continued answer may also be
    judged by its text, where the tokens before the splice were spelled in an unusual way.
    """
    prompt = seen.prompt_ids or await engine.tokenize(_prompt(seen))
    if seen.token_ids:
        ids = [*prompt, *seen.token_ids]
        found = gaps(ids, await engine.likely(ids), len(prompt))
        if not (seen.continuations and any(gap.nats > LIMIT for gap in found)):
            return _in_answer(found, len(prompt))
    return _in_answer(await _by_text(engine, prompt, seen.text), len(prompt))


def _in_answer(found: Sequence[Gap], begin: int) -> list[Gap]:
    return [Gap(gap.at - begin, gap.nats) for gap in found]


async def _by_text(engine: Engine, prompt: Sequence[int], text: str) -> list[Gap]:
    """Return the gaps of a text in the likeliest of its spellings."""
    ids = [*prompt, *(await engine.tokenize(_plain(text)))]
    likely = await engine.likely(ids)
    for _ in range(_REPAIRS):
        bad = next((gap for gap in gaps(ids, likely, len(prompt)) if gap.nats > LIMIT), None)
        others = respelled(ids, likely, bad.at) if bad else []
        if bad is None or not others:
            break
        token, rest = others[0]
        ids = [*ids[: bad.at], token, *(await engine.tokenize(_plain(rest)) if rest else ())]
        likely = await engine.likely(ids)
    return gaps(ids, likely, len(prompt))


def _prompt(seen: Seen) -> Mapping[str, Any]:
    if seen.ask.chat:
        return {"messages": seen.ask.messages, "add_generation_prompt": True}
    return {"prompt": seen.ask.prompt}


def _plain(text: str) -> Mapping[str, Any]:
    return {"prompt": text, "add_special_tokens": False}
