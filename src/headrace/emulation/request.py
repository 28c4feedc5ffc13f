"""What a client asks of a twin over the OpenAI API, checked as its engine checks it (`dialect.py`).

`openai.py` carries out an `Ask`, which is the same for all engines.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from headrace.emulation.behaviour import Behaviour, Faults
from headrace.emulation.dialect import Dialect, RefusedError
from headrace.emulation.engine import Wish
from headrace.emulation.template import chat_text
from headrace.emulation.text import Writer, decode, encode, joined

_TOOL_WORDS = 6
_MOST_STOPS = 16


@dataclass(frozen=True)
class Ask:
    """A checked request: `n` answers to each of the prompts."""

    chat: bool
    model: str
    prompts: tuple[list[int], ...]
    wishes: tuple[Wish, ...]
    n: int = 1
    stream: bool = False
    usage: bool = False
    running_usage: bool = False
    ids: bool = False
    raw_ids: bool = False
    echo: bool = False
    logprobs: int | None = None
    tool: str | None = None

    def prompt(self, index: int) -> list[int]:
        """Return the prompt of an answer."""
        return self.prompts[index // self.n]

    @property
    def prompt_tokens(self) -> int:
        """Tokens of all prompts."""
        return sum(map(len, self.prompts))


def read_json(body: bytes, dialect: Dialect) -> dict[str, Any]:
    """Return the body's object; RefusedError if it is none."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as wrong:
        message = f"1 validation error:\n  JSON decode error: {wrong}"
        raise dialect.refusal(400, "Bad Request", message, "body") from None
    if not isinstance(value, dict):
        message = "1 validation error:\n  not an object"
        raise dialect.refusal(400, "Bad Request", message, None)
    return value


def check_model(body: Mapping[str, Any], behaviour: Behaviour, dialect: Dialect) -> str:
    """Return the model's or adapter's name; RefusedError if the twin does not serve it."""
    model = body.get("model") or behaviour.names[0]
    served = model in behaviour.names or model in behaviour.adapters
    if dialect.checks_model and not served:
        aliases = ", ".join(behaviour.names)
        message = f"The model `{model}` does not exist. Valid aliases: {aliases}."
        raise dialect.refusal(404, "NotFoundError", message, "model")
    return str(model)


def read_ask(
    body: Mapping[str, Any], behaviour: Behaviour, dialect: Dialect, faults: Faults, *, chat: bool
) -> Ask:
    """Return what is asked; RefusedError if it cannot be served."""
    return _Reader(body, behaviour, dialect, faults).ask(chat=chat)


def chat_tokens(body: Mapping[str, Any], dialect: Dialect, faults: Faults) -> list[int]:
    """Return the token ids of a chat, template included; RefusedError if it is none."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        missing = "{'type': 'missing', 'loc': 'body.messages', 'msg': 'Field required'}"
        message = f"1 validation error:\n  {missing}"
        raise dialect.refusal(400, "Bad Request", message, "body.messages")
    continued = dialect.continues and bool(body.get("continue_final_message"))
    if continued and body.get("add_generation_prompt", True):
        message = "Cannot set both `continue_final_message` and `add_generation_prompt` to True."
        raise dialect.refusal(400, "BadRequestError", message, None)
    prompt = dialect.prompts_chats or bool(body.get("add_generation_prompt", True))
    text = chat_text(messages, continued=continued, prompt=prompt, trims=faults.trims)
    return encode(text)


class _Reader:
    """Reads one body."""

    def __init__(
        self, body: Mapping[str, Any], behaviour: Behaviour, dialect: Dialect, faults: Faults
    ) -> None:
        self._body, self._behaviour = body, behaviour
        self._dialect, self._faults = dialect, faults

    def ask(self, *, chat: bool) -> Ask:
        """Return the checked request."""
        self._check_fields()
        model = check_model(self._body, self._behaviour, self._dialect)
        prompts = (self._chat_prompt(),) if chat else tuple(self._prompts())
        options = self._part("stream_options", dict) or {}
        tool = self._tool() if chat else None
        limit = self._limit(max(map(len, prompts)), chat=chat)
        n = self._positive("n", 1)
        return Ask(
            chat=chat,
            model=model,
            prompts=prompts,
            wishes=tuple(self._wish(p, limit, tool, model) for p in prompts for _ in range(n)),
            n=n,
            stream=bool(self._body.get("stream")),
            usage=bool(options.get("include_usage")),
            running_usage=bool(options.get("continuous_usage_stats")),
            ids=self._dialect.token_ids and bool(self._body.get("return_token_ids")),
            raw_ids=self._dialect.raw_ids and self._body.get("detokenize") is False,
            echo=not chat and bool(self._body.get("echo")),
            logprobs=self._logprobs(chat=chat),
            tool=tool,
        )

    def refuse(self, message: str, param: str | None, status: int = 400) -> RefusedError:
        """Return the engine's refusal."""
        return self._dialect.refusal(status, "BadRequestError", message, param)

    def _check_fields(self) -> None:
        known = self._dialect.known
        unknown = sorted(self._body.keys() - known) if known is not None else []
        if unknown:
            message = f"body.{unknown[0]}: Extra inputs are not permitted (extra_forbidden)"
            raise self.refuse(message, unknown[0], 422)
        n = self._positive("n", 1)
        if n > 1 and not self._dialect.many:
            raise self.refuse("only a single choice (n=1) is supported", "n")
        if n > 1 and self._dialect.greedy_is_one and self._body.get("temperature") == 0:
            raise self.refuse(f"n must be 1 when using greedy sampling, got {n}.", None)

    def _wish(self, prompt: list[int], limit: int, tool: str | None, model: str) -> Wish:
        body = self._body
        return Wish(
            prompt=prompt,
            limit=limit,
            ignore_eos=bool(body.get("ignore_eos")),
            min_tokens=min(limit, self._number("min_tokens", 0)),
            stops=self._stops(),
            keep_stop=self._dialect.keeps_stop or bool(body.get("include_stop_str_in_output")),
            script=_tool_script(prompt) if tool else None,
            adapter=model if model in self._behaviour.adapters else "",
        )

    def _limit(self, longest: int, *, chat: bool) -> int:
        context = self._behaviour.max_model_len
        if longest >= context:
            message = (
                f"This model's maximum context length is {context} tokens. However, your prompt "
                f"contains at least {longest} input tokens. Please reduce the length of the input "
                "prompt."
            )
            raise self.refuse(message, "input_tokens")
        room = context - longest
        name = "max_completion_tokens" if self._body.get("max_completion_tokens") else "max_tokens"
        asked = self._positive(name, room if chat else self._dialect.completion_tokens)
        if asked > context:
            message = f"{name}={asked} cannot be greater than max_model_len={context}."
            raise self.refuse(message, name)
        return min(asked, room)

    def _part(self, name: str, kind: type) -> Any:
        value = self._body.get(name)
        if value is not None and not isinstance(value, kind):
            raise self.refuse(f"{name} is of the wrong type.", name)
        return value

    def _number(self, name: str, default: int) -> int:
        value = self._part(name, int)
        return default if value is None else int(value)

    def _positive(self, name: str, default: int) -> int:
        value = self._body.get(name)
        if value is None:
            return default
        if not isinstance(value, int) or value < 1:
            raise self.refuse(f"{name} must be at least 1, got {value}.", name)
        return value

    def _stops(self) -> tuple[str, ...]:
        given = self._body.get("stop") or ()
        stops = (given,) if isinstance(given, str) else given
        good = isinstance(stops, list | tuple) and all(isinstance(one, str) for one in stops)
        if not good or len(stops) > _MOST_STOPS:
            raise self.refuse("stop is a string or a list of strings.", "stop")
        return tuple(filter(None, stops))

    def _logprobs(self, *, chat: bool) -> int | None:
        if not self._dialect.logprobs:
            return None
        if not chat:
            given: int | None = self._part("logprobs", int)
            return given
        return self._number("top_logprobs", 0) if self._body.get("logprobs") else None

    def _prompts(self) -> Iterable[list[int]]:
        prompt = self._body.get("prompt")
        if not prompt or not isinstance(prompt, str | list):
            message = "Either prompt or prompt_embeds must be provided and non-empty."
            raise self.refuse(message, "prompt")
        if isinstance(prompt, str) or all(isinstance(part, int) for part in prompt):
            return [self._ids(prompt)]
        if not self._dialect.batches:
            raise self.refuse("only single string input is supported", "prompt")
        return map(self._ids, prompt)

    def _ids(self, prompt: Any) -> list[int]:
        if isinstance(prompt, str):
            return encode(prompt)
        if not self._dialect.token_prompts:
            raise self.refuse("invalid type: integer, expected a string", "prompt", 422)
        try:
            joined(prompt)
        except (ValueError, TypeError) as wrong:
            raise self.refuse(str(wrong), "prompt") from None
        return list(prompt)

    def _chat_prompt(self) -> list[int]:
        if self._dialect.chat_ids and self._body.get(self._dialect.chat_ids):
            return self._ids(self._body[self._dialect.chat_ids])
        return chat_tokens(self._body, self._dialect, self._faults)

    def _tool(self) -> str | None:
        """Return the function that must be called; None where the model may choose to talk."""
        choice = self._body.get("tool_choice")
        tools = self._part("tools", list) or []
        names = [_function_name(tool) for tool in tools]
        if choice == "required" and names:
            return names[0]
        if not isinstance(choice, dict):
            return None
        name = _function_name(choice)
        if name not in names:
            message = f"The tool specified in `tool_choice` does not match any of the tools: {name}"
            raise self.refuse(message, "tool_choice")
        return name


def _function_name(tool: Any) -> str:
    function = tool.get("function") if isinstance(tool, dict) else None
    return str(function.get("name", "")) if isinstance(function, dict) else ""


def _tool_script(prompt: list[int]) -> tuple[int, ...]:
    """Return the tokens of a call's arguments, as guided decoding would force them."""
    writer = Writer(joined(prompt), endless=True)
    words = [token for _ in range(_TOOL_WORDS * 3) if (token := writer.next()) is not None]
    text = decode(words).replace('"', "").strip()
    return tuple(encode(json.dumps({"text": text}, ensure_ascii=False)))
