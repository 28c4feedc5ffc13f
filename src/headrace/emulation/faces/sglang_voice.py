"""SGLang's OpenAI answers (0.5.23), as its `serving_{completions,chat}.py` write them.

`sglang.py` is the rest of the face.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from headrace.emulation import logprobs
from headrace.emulation.dialect import RefusedError
from headrace.emulation.engine import Finish
from headrace.emulation.openai import Delta, Failure, Result
from headrace.emulation.request import Ask
from headrace.emulation.shapes import openai_head


def flat_error(message: str, kind: str, code: int, param: str | None = None) -> dict[str, Any]:
    """Return the error shape of SGLang and trtllm-serve."""
    head = {"object": "error", "message": message, "type": kind}
    return {**head, "param": param, "code": code}


def refusal(status: int, kind: str, message: str, param: str | None) -> RefusedError:
    """Return a refusal; SGLang calls everything that it cannot take a bad request."""
    status = 400 if status == 422 else status  # noqa: PLR2004 - the HTTP status
    return RefusedError(status, flat_error(message, kind, status, param))


@dataclass(frozen=True)
class SglangVoice:
    """SGLang's answers."""

    prefix: bytes = b"data: "
    done: bytes = b"data: [DONE]\n\n"
    splits_end: bool = True

    def head(self, ask: Ask) -> dict[str, Any]:
        """Return what every answer begins with."""
        return openai_head(ask)

    def opening(self, ask: Ask, head: dict[str, Any], index: int) -> dict[str, Any] | None:
        """Return the event with the role."""
        if not ask.chat:
            return None
        content = _content("", role="assistant")
        return {**head, "choices": [self._chat(index, content, None, None)], "usage": None}

    def event(self, ask: Ask, head: dict[str, Any], delta: Delta) -> dict[str, Any]:
        """Return an event."""
        ids = list(delta.tokens) if ask.ids else None
        prompt = ask.prompt(delta.index) if ask.ids and delta.first else None
        if ask.chat:
            choice = self._chat(delta.index, _content(delta.text), delta.finish, delta.stopped_by)
            if ask.logprobs is not None:
                choice["logprobs"] = logprobs.for_chat(delta.tokens, ask.logprobs)
        else:
            top = ask.logprobs
            choice = {
                "index": delta.index,
                "text": delta.text,
                "logprobs": None
                if top is None
                else logprobs.for_completion(delta.tokens, top, delta.offset),
                "finish_reason": delta.finish,
                "matched_stop": delta.stopped_by,
                "hidden_states": None,
            }
        choice |= {"token_ids": ids, "prompt_token_ids": prompt}
        return {**head, "choices": [choice], "usage": None}

    def _chat(
        self, index: int, delta: dict[str, Any], finish: Finish | None, stop: str | None
    ) -> dict[str, Any]:
        ends = {"finish_reason": finish, "matched_stop": stop}
        return {"index": index, "delta": delta, "logprobs": None, **ends}

    def running_usage(self, ask: Ask, tokens: int) -> dict[str, Any]:
        """Return the usage so far."""
        return {"usage": usage(ask.prompt_tokens, tokens)}

    def closing(self, ask: Ask, head: dict[str, Any], tokens: int, cached: int) -> dict[str, Any]:
        """Return the usage event."""
        del cached
        return {**head, "choices": [], **self.running_usage(ask, tokens)}

    def whole(self, ask: Ask, head: dict[str, Any], results: list[Result]) -> dict[str, Any]:
        """Return the whole answer."""
        choices = [self._choice(ask, index, result) for index, result in enumerate(results)]
        tokens = sum(len(result.tokens) for result in results)
        used = usage(ask.prompt_tokens, tokens)
        rest = {"usage": used, "metadata": {"weight_version": "default"}}
        return {**head, "choices": choices, **rest}

    def _choice(self, ask: Ask, index: int, result: Result) -> dict[str, Any]:
        top = ask.logprobs
        if ask.chat:
            content: dict[str, Any] = {"message": _content(result.text, role="assistant")}
            scores = None if top is None else logprobs.for_chat(result.tokens, top)
        else:
            content = {"text": result.text}
            scores = None if top is None else logprobs.for_completion(result.tokens, top, 0)
        ends = {"finish_reason": result.finish, "matched_stop": result.stopped_by}
        ids = {
            "token_ids": result.tokens if ask.ids else None,
            "prompt_token_ids": ask.prompt(index) if ask.ids else None,
        }
        return {"index": index, **content, "logprobs": scores, **ends, **ids}

    def failure(self, finish: Finish) -> Failure | None:
        """Return an error for what broke; an abort is an answer like any other."""
        if finish != "error":
            return None
        body = flat_error("Generation failed.", "InternalServerError", 500)
        return Failure(500, body, {"error": body})


def _content(text: str, *, role: str | None = None) -> dict[str, Any]:
    return {"role": role, "content": text, "reasoning_content": None, "tool_calls": None}


def usage(prompt: int, generated: int) -> dict[str, Any]:
    """Return token counts in SGLang's order."""
    counts = {"prompt_tokens": prompt, "total_tokens": prompt + generated}
    return {**counts, "completion_tokens": generated, "prompt_tokens_details": None}
