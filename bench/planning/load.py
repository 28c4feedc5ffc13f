"""A load on a fleet that runs, and when each request's tokens came.

Lengths and times are drawn from a seed; a request goes out at its time, whatever else waits.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

from bench.fleet.client import Target
from bench.fleet.talks import words

_PATIENCE = 300.0
_PROMPT_TOKENS = re.compile(rb'"prompt_tokens":\s*(\d+)')
_OUTPUT_TOKENS = re.compile(rb'"completion_tokens":\s*(\d+)')


@dataclass(frozen=True)
class Load:
    """Requests a second by turns of `turn` seconds, for `seconds`; lengths from and to."""

    name: str
    rates: tuple[float, ...]
    prompts: tuple[int, int]
    outputs: tuple[int, int]
    seconds: float
    seed: int
    turn: float = 15.0

    def requests(self) -> Iterator[tuple[float, str, int]]:
        """Yield time, prompt and answer's length of each."""
        random, at = Random(f"load {self.seed}"), 0.0
        while True:
            at += random.expovariate(self.rates[int(at / self.turn) % len(self.rates)])
            if at >= self.seconds:
                return
            yield at, words(random, random.randint(*self.prompts)), random.randint(*self.outputs)


async def drive(target: Target, model: str, load: Load) -> list[dict[str, Any]]:
    """Send it all; return a record of each request, in the fields of recorded runs."""
    begin = time.perf_counter() + 0.2
    sent = (
        _one(target, f"{load.name}-{number}", begin + at, _body(model, prompt, output))
        for number, (at, prompt, output) in enumerate(load.requests())
    )
    return await asyncio.gather(*sent)


def _body(model: str, prompt: str, output: int) -> bytes:
    body = {
        "model": model,
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": output,
        "min_tokens": output,
        # A special token is no text, and a chunk without text is not sent: all would come late.
        "skip_special_tokens": False,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    return json.dumps(body).encode()


async def _one(target: Target, name: str, due: float, body: bytes) -> dict[str, Any]:
    await asyncio.sleep(due - time.perf_counter())
    came = time.perf_counter()
    async with asyncio.timeout(_PATIENCE):
        text, times = await _stream(target, body)
    prompts, outputs = _PROMPT_TOKENS.search(text), _OUTPUT_TOKENS.search(text)
    if not times or prompts is None or outputs is None:
        raise ValueError(f"{name}: no tokens or no usage in the answer: {text[:300]!r}")
    return {
        "request_id": name,
        "input_toks": int(prompts[1]),
        "output_toks": int(outputs[1]),
        "arrival_time": came,
        "first_token_ts": times[0],
        "last_token_ts": times[-1],
    }


async def _stream(target: Target, body: bytes) -> tuple[bytes, list[float]]:
    """Return all that came, and when those reads came that had a token in them."""
    reader, writer = await asyncio.open_connection(target.host, target.port)
    pieces, times = [], []
    try:
        writer.write(target.request(body))
        while data := await reader.read(65536):
            pieces.append(data)
            if b'"delta"' in data:
                times.append(time.perf_counter())
    finally:
        writer.close()
    return b"".join(pieces), times
