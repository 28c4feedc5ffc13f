"""TGI's OpenAI answers, as its router's `server.rs` writes them.

`tgi.py` is the rest of the face.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from headrace.emulation.dialect import RefusedError
from headrace.emulation.engine import Finish
from headrace.emulation.openai import Delta, Failure, Result
from headrace.emulation.request import Ask

FAILED = "Request failed during generation: Server error: the model server is gone"
INCOMPLETE = "Incomplete generation"
_STATUS = {"NotFoundError": 404, "InternalServerError": 424}


def refusal(status: int, kind: str, message: str, param: str | None) -> RefusedError:
    """Return a refusal: nearly everything is unprocessable to TGI."""
    del status, param
    found = _STATUS.get(kind, 422)
    if kind == "InternalServerError":
        return RefusedError(found, {"error": FAILED, "error_type": "generation"})
    text = f"Input validation error: {message}"
    return RefusedError(found, {"error": text, "error_type": "validation"})


def reason(finish: Finish | None, stopped_by: str | None) -> str | None:
    """Return a finish reason of the OpenAI answers."""
    return "stop_sequence" if stopped_by is not None else finish


@dataclass(frozen=True)
class TgiVoice:
    """TGI's answers."""

    version: str
    prefix: bytes = b"data:"
    done: bytes = b"data: [DONE]\n\n"
    splits_end: bool = False

    def head(self, ask: Ask) -> dict[str, Any]:
        """Return what every answer begins with; ids are empty, as TGI's are."""
        whole = "chat.completion" if ask.chat else "text_completion"
        return {
            "object": f"{whole}.chunk" if ask.chat and ask.stream else whole,
            "id": "",
            "created": int(time.time()),
            "model": ask.model,
            "system_fingerprint": f"{self.version}-native",
        }

    def opening(self, ask: Ask, head: dict[str, Any], index: int) -> dict[str, Any] | None:
        """Return nothing: each delta has the role."""
        del ask, head, index
        return None

    def event(self, ask: Ask, head: dict[str, Any], delta: Delta) -> dict[str, Any]:
        """Return an event."""
        finish = reason(delta.finish, delta.stopped_by)
        if ask.chat:
            content = {"role": "assistant", "content": delta.text}
            choice = {"index": delta.index, "delta": content}
            choice |= {"logprobs": None, "finish_reason": finish}
            return {**head, "choices": [choice], "usage": None}
        choice = {"index": delta.index, "text": delta.text, "logprobs": None}
        return {**head, "choices": [choice | {"finish_reason": finish or ""}]}

    def running_usage(self, ask: Ask, tokens: int) -> dict[str, Any]:
        """Return nothing: TGI does not know it."""
        del ask, tokens
        return {}

    def closing(self, ask: Ask, head: dict[str, Any], tokens: int, cached: int) -> dict[str, Any]:
        """Return the usage event."""
        del cached
        return {**head, "choices": [], "usage": _usage(ask.prompt_tokens, tokens)}

    def whole(self, ask: Ask, head: dict[str, Any], results: list[Result]) -> dict[str, Any]:
        """Return the whole answer."""
        choices = [self._choice(ask, index, result) for index, result in enumerate(results)]
        used = _usage(ask.prompt_tokens, sum(len(result.tokens) for result in results))
        return {**head, "choices": choices, "usage": used}

    def _choice(self, ask: Ask, index: int, result: Result) -> dict[str, Any]:
        text = {"message": {"role": "assistant", "content": result.text}}
        said: dict[str, Any] = text if ask.chat else {"text": result.text}
        finish = reason(result.finish, result.stopped_by)
        return {"index": index, **said, "logprobs": None, "finish_reason": finish}

    def failure(self, finish: Finish) -> Failure | None:
        """Return the error of a generation that failed or stopped half-way."""
        if finish not in {"error", "abort"}:
            return None
        message = FAILED if finish == "error" else INCOMPLETE
        kind = "generation" if finish == "error" else "Incomplete generation"
        body = {"error": message, "error_type": kind}
        event = {"error": {"message": message, "http_status_code": 422}}
        return Failure(424 if finish == "error" else 500, body, event)


def _usage(prompt: int, generated: int) -> dict[str, Any]:
    counts = {"prompt_tokens": prompt, "completion_tokens": generated}
    return {**counts, "total_tokens": prompt + generated}
