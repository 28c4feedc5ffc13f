"""The answers of Triton's OpenAI front end with TensorRT-LLM, after its `triton_engine.py`.

`triton.py` is the rest of the face.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from typing import Any

from headrace.emulation.dialect import RefusedError
from headrace.emulation.engine import Finish
from headrace.emulation.openai import Delta, Failure, Result
from headrace.emulation.request import Ask

_FIELDS = (
    "model prompt messages best_of echo frequency_penalty ignore_eos logit_bias logprobs "
    "top_logprobs max_tokens max_completion_tokens min_tokens n presence_penalty seed stop stream "
    "stream_options suffix temperature top_p user response_format tools tool_choice function_call "
    "functions parallel_tool_calls"
)
KNOWN = frozenset(_FIELDS.split())
"""Every other field is refused."""
_UNPROCESSABLE = 422


def refusal(status: int, kind: str, message: str, param: str | None) -> RefusedError:
    """Return a refusal in FastAPI's shapes."""
    if status == _UNPROCESSABLE and "extra_forbidden" in message:
        text = "Extra inputs are not permitted"
        detail = {"type": "extra_forbidden", "loc": ["body", param], "msg": text}
        return RefusedError(status, {"detail": [detail]})
    if kind == "NotFoundError":
        return RefusedError(400, {"detail": message.replace("The model", "Unknown model:")})
    status = 400 if status == _UNPROCESSABLE else status
    return RefusedError(status, {"detail": message})


@dataclass(frozen=True)
class TritonVoice:
    """The front end's answers."""

    prefix: bytes = b"data: "
    done: bytes = b"data: [DONE]\n\n"
    splits_end: bool = False

    def head(self, ask: Ask) -> dict[str, Any]:
        """Return what every answer begins with."""
        whole = "chat.completion" if ask.chat else "text_completion"
        return {
            "id": f"cmpl-{uuid.uuid1()}",
            "created": int(time.time()),
            "model": ask.model,
            "system_fingerprint": None,
            "object": f"{whole}.chunk" if ask.chat and ask.stream else whole,
        }

    def opening(self, ask: Ask, head: dict[str, Any], index: int) -> dict[str, Any] | None:
        """Return the event with the role."""
        if not ask.chat:
            return None
        delta = {"role": "assistant", "content": "", "function_call": None}
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": None}
        return {**head, "choices": [choice], "usage": None}

    def event(self, ask: Ask, head: dict[str, Any], delta: Delta) -> dict[str, Any]:
        """Return an event."""
        ends = {"logprobs": None, "finish_reason": "stop" if delta.finish else None}
        said: dict[str, Any] = {"text": delta.text}
        if ask.chat and ask.tool:
            function = {"name": ask.tool, "arguments": delta.text}
            said = {"delta": {"tool_calls": [{"index": 0, "function": function}]}}
        elif ask.chat:
            said = {"delta": {"role": None, "content": delta.text, "function_call": None}}
        return {**head, "choices": [{"index": 0, **said, **ends}], "usage": None}

    def running_usage(self, ask: Ask, tokens: int) -> dict[str, Any]:
        """Return nothing: the front end does not know it."""
        del ask, tokens
        return {}

    def closing(self, ask: Ask, head: dict[str, Any], tokens: int, cached: int) -> dict[str, Any]:
        """Return the usage event."""
        del cached
        return {**head, "choices": [], "usage": _usage(ask.prompt_tokens, tokens)}

    def whole(self, ask: Ask, head: dict[str, Any], results: list[Result]) -> dict[str, Any]:
        """Return the whole answer."""
        (result,) = results
        ends = {"logprobs": None, "finish_reason": "stop"}
        said: dict[str, Any] = {"text": result.text}
        if ask.chat:
            calls = None
            if ask.tool:
                function = {"name": ask.tool, "arguments": result.text}
                calls = [{"id": head["id"], "type": "function", "function": function}]
            text = "" if ask.tool else result.text
            said = {"message": {"role": "assistant", "content": text, "tool_calls": calls}}
        used = _usage(ask.prompt_tokens, len(result.tokens))
        return {**head, "choices": [{"index": 0, **said, **ends}], "usage": used}

    def failure(self, finish: Finish) -> Failure | None:
        """Return an error for what broke or was aborted."""
        if finish not in {"error", "abort"}:
            return None
        body = {"detail": "the model failed"}
        return Failure(500, body, {"error": "the model failed"})


def _usage(prompt: int, generated: int) -> dict[str, Any]:
    counts = {"prompt_tokens": prompt, "completion_tokens": generated}
    return {**counts, "total_tokens": prompt + generated}
