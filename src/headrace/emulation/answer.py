"""One answer over HTTP, whole or as a stream, with every way it can go wrong.

A client that leaves stops the work.

`engine.py` decides what happens; here it becomes bytes in vLLM's shapes (`shapes.py`).
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from headrace.emulation import shapes
from headrace.emulation.engine import Step, TwinEngine
from headrace.emulation.request import Ask
from headrace.emulation.text import decode, piece

Emit = Callable[[int, Step], Awaitable[None]]
_DEAD = "EngineCore encountered an issue. See stack trace (above) for the root cause."
_DEAD_BODY = shapes.error(_DEAD, "InternalServerError", 500)


class _ResetError(Exception):
    """The connection is to break here."""


class Answer(Response):
    """Runs the request when Starlette calls it."""

    def __init__(self, engine: TwinEngine, ask: Ask) -> None:
        super().__init__()
        self._engine = engine
        self._ask = ask
        kind = "chatcmpl" if ask.chat else "cmpl"
        whole = "chat.completion" if ask.chat else "text_completion"
        self._head = {
            "id": shapes.new_id(kind),
            "object": f"{whole}.chunk" if ask.chat and ask.stream else whole,
            "created": int(time.time()),
            "model": ask.model,
        }
        self._prompt_tokens = sum(map(len, ask.prompts))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, unless the client leaves first."""
        del scope
        work = asyncio.ensure_future(self._stream(send) if self._ask.stream else self._whole(send))
        gone = asyncio.ensure_future(_gone(receive))
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            work.cancel()
            gone.cancel()
            results = await asyncio.gather(work, gone, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception) and not isinstance(result, _ResetError):
                raise result

    async def _run(self, emit: Emit) -> None:
        """Run all answers side by side; each step goes to `emit` with its choice's index."""
        jobs = [prompt for prompt in self._ask.prompts for _ in range(self._ask.n)]
        try:
            async with asyncio.TaskGroup() as group:
                for index, prompt in enumerate(jobs):
                    group.create_task(self._choice(index, prompt, emit))
        except* _ResetError:
            raise _ResetError from None

    async def _choice(self, index: int, prompt: list[int], emit: Emit) -> None:
        ask = self._ask
        steps = self._engine.run(prompt, ask.limit, ignore_eos=ask.ignore_eos)
        try:
            async for step in steps:
                await emit(index, step)
        finally:
            await steps.aclose()  # type: ignore[attr-defined]  # an async generator has it

    async def _whole(self, send: Send) -> None:
        count = len(self._ask.prompts) * self._ask.n
        ids: list[list[int]] = [[] for _ in range(count)]
        finish: list[str] = ["length"] * count

        async def collect(index: int, step: Step) -> None:
            if step.finish == "reset":
                await _start(send, 200, "application/json", length=1000)
                await _body(send, b'{"id":')
                raise _ResetError
            if step.token is not None:
                ids[index].append(step.token)
            finish[index] = step.finish or finish[index]

        await self._run(collect)
        failed = "error" in finish
        body = _DEAD_BODY if failed else self._finished(ids, finish)
        data = _compact(body)
        await _start(send, 500 if failed else 200, "application/json", length=len(data))
        await _body(send, data, more=False)

    def _finished(self, ids: list[list[int]], finish: list[str]) -> Any:
        ask = self._ask
        used = shapes.usage(self._prompt_tokens, sum(map(len, ids)))
        shown = [tokens if ask.ids else None for tokens in ids]
        if ask.chat:
            choices = [
                shapes.chat_choice(i, decode(tokens), finish[i], shown[i])
                for i, tokens in enumerate(ids)
            ]
            prompt_ids = ask.prompts[0] if ask.ids else None
            return shapes.chat_completion(self._head, choices, used, prompt_ids)
        choices = [
            shapes.completion_choice(i, decode(tokens), finish[i], shown[i], self._prompt_ids(i))
            for i, tokens in enumerate(ids)
        ]
        return shapes.completion(self._head, choices, used)

    def _prompt_ids(self, index: int) -> list[int] | None:
        return self._ask.prompts[index // self._ask.n] if self._ask.ids else None

    async def _stream(self, send: Send) -> None:
        ask = self._ask
        counts = [0] * (len(ask.prompts) * ask.n)
        await _start(send, 200, "text/event-stream; charset=utf-8")
        if ask.chat:
            await self._roles(send, len(counts))

        async def pass_on(index: int, step: Step) -> None:
            counts[index] += step.token is not None
            await self._event(send, index, step, first=counts[index] == 1)

        await self._run(pass_on)
        if ask.usage:
            used = shapes.usage(self._prompt_tokens, sum(counts))
            await self._send_event(send, [], {"usage": used, **self._fingerprint})
        await _body(send, b"data: [DONE]\n\n", more=False)

    _fingerprint = {"system_fingerprint": shapes.FINGERPRINT}  # noqa: RUF012 - a constant

    async def _roles(self, send: Send, count: int) -> None:
        prompt = {"prompt_token_ids": self._prompt_ids(0), "prompt_text": None}
        for index in range(count):
            await self._send_event(send, [shapes.chat_role(index)], prompt)

    async def _event(self, send: Send, index: int, step: Step, *, first: bool) -> None:
        if step.raw:
            await _body(send, step.raw)
            return
        if step.finish == "reset":
            raise _ResetError
        if step.finish == "error":
            await _body(send, b"data: " + _compact(_DEAD_BODY) + b"\n\n")
            return
        # With a usage event to come, vLLM puts the fingerprint there instead of on the last token.
        tail = self._fingerprint if step.finish and not self._ask.usage else {}
        await self._send_event(send, [self._delta(index, step, first=first)], tail)

    def _delta(self, index: int, step: Step, *, first: bool) -> dict[str, Any]:
        tokens = [] if step.token is None else [step.token]
        text = "".join(map(piece, tokens))
        shown = tokens if self._ask.ids else None
        if self._ask.chat:
            return shapes.chat_delta(index, text, step.finish, shown)
        prompt_ids = self._prompt_ids(index) if first else None
        return shapes.completion_delta(index, text, step.finish, shown, prompt_ids)

    async def _send_event(self, send: Send, choices: list[Any], tail: dict[str, Any]) -> None:
        event = self._head | {"choices": choices} | tail
        await _body(send, b"data: " + _compact(event) + b"\n\n")


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _start(send: Send, status: int, kind: str, length: int | None = None) -> None:
    headers = [(b"content-type", kind.encode())]
    if length is not None:
        headers.append((b"content-length", str(length).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})


async def _body(send: Send, data: bytes, *, more: bool = True) -> None:
    await send({"type": "http.response.body", "body": data, "more_body": more})


def _compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
