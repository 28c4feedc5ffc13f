"""What a client asks of the twin, checked as vLLM checks it; refusals carry vLLM's words.

`answer.py` carries out an `Ask`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headrace.emulation.behaviour import Behaviour
from headrace.emulation.shapes import error
from headrace.emulation.text import decode, encode

_COMPLETION_TOKENS = 16
"""OpenAI's default for completions; a chat may fill what is left of the context."""


class RefusedError(Exception):
    """The request gets `status` and the JSON `body` and nothing else."""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        super().__init__(body["error"]["message"])
        self.status = status
        self.body = body


@dataclass(frozen=True)
class Ask:
    """A checked request: prompts as token ids, `n` answers of at most `limit` tokens to each."""

    chat: bool
    model: str
    prompts: tuple[list[int], ...]
    limit: int
    n: int
    stream: bool
    usage: bool
    ids: bool
    ignore_eos: bool


def read_json(body: bytes) -> dict[str, Any]:
    """Return the body's object; RefusedError if it is none."""
    try:
        value = json.loads(body)
    except ValueError as wrong:
        message = f"1 validation error:\n  JSON decode error: {wrong}"
        raise RefusedError(400, error(message, "Bad Request", 400, "body")) from None
    if not isinstance(value, dict):
        raise RefusedError(400, error("1 validation error:\n  not an object", "Bad Request", 400))
    return value


def check_model(body: Mapping[str, Any], behaviour: Behaviour) -> str:
    """Return the model's name; RefusedError with 404 if the twin does not serve it."""
    model = body.get("model") or behaviour.names[0]
    if model not in behaviour.names:
        aliases = ", ".join(behaviour.names)
        message = f"The model `{model}` does not exist. Valid aliases: {aliases}."
        raise RefusedError(404, error(message, "NotFoundError", 404, "model"))
    return str(model)


def read_ask(body: Mapping[str, Any], behaviour: Behaviour, *, chat: bool) -> Ask:
    """Return what is asked; RefusedError if it cannot be served."""
    model = check_model(body, behaviour)
    prompts = (_chat_prompt(body),) if chat else _prompts(body)
    n = _positive(body, "n", 1)
    options = body.get("stream_options") or {}
    return Ask(
        chat=chat,
        model=model,
        prompts=prompts,
        limit=_limit(body, behaviour.max_model_len, max(map(len, prompts)), chat=chat),
        n=n,
        stream=bool(body.get("stream")),
        usage=bool(options.get("include_usage")),
        ids=bool(body.get("return_token_ids")),
        ignore_eos=bool(body.get("ignore_eos")),
    )


def _limit(body: Mapping[str, Any], context: int, longest: int, *, chat: bool) -> int:
    if longest >= context:
        raise _refuse(
            f"This model's maximum context length is {context} tokens. However, your prompt "
            f"contains at least {longest} input tokens. Please reduce the length of the input "
            "prompt.",
            "input_tokens",
        )
    room = context - longest
    name = "max_completion_tokens" if body.get("max_completion_tokens") else "max_tokens"
    asked = _positive(body, name, room if chat else _COMPLETION_TOKENS)
    if asked > context:
        message = f"{name}={asked} cannot be greater than max_model_len={context}."
        raise _refuse(message, name)
    return min(asked, room)


def _positive(body: Mapping[str, Any], name: str, default: int) -> int:
    value = body.get(name)
    if value is None:
        return default
    if not isinstance(value, int) or value < 1:
        raise _refuse(f"{name} must be at least 1, got {value}.", name)
    return value


def _prompts(body: Mapping[str, Any]) -> tuple[list[int], ...]:
    prompt = body.get("prompt")
    if not prompt or not isinstance(prompt, str | list):
        raise _refuse("Either prompt or prompt_embeds must be provided and non-empty.", "prompt")
    if isinstance(prompt, str) or all(isinstance(part, int) for part in prompt):
        return (_ids(prompt),)
    return tuple(_ids(part) for part in prompt)


def _ids(prompt: Any) -> list[int]:
    if isinstance(prompt, str):
        return encode(prompt)
    try:
        decode(prompt)
    except (ValueError, TypeError) as wrong:
        raise _refuse(str(wrong), "prompt") from None
    return list(prompt)


def _chat_prompt(body: Mapping[str, Any]) -> list[int]:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        missing = "{'type': 'missing', 'loc': 'body.messages', 'msg': 'Field required'}"
        message = f"1 validation error:\n  {missing}"
        raise RefusedError(400, error(message, "Bad Request", 400, "body.messages"))
    turns = [f"<|im_start|>{_part(m, 'role')}\n{_part(m, 'content')}" for m in messages]
    text = "<|im_end|>\n".join(turns)
    if body.get("continue_final_message"):
        return encode(text)
    return encode(f"{text}<|im_end|>\n<|im_start|>assistant\n")


def _part(message: Any, name: str) -> str:
    value = message.get(name) if isinstance(message, dict) else None
    if isinstance(value, list):
        return "".join(str(part.get("text", "")) for part in value if isinstance(part, dict))
    return str(value or "")


def _refuse(message: str, param: str) -> RefusedError:
    return RefusedError(400, error(message, "BadRequestError", 400, param))
