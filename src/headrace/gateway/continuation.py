"""From a broken stream to the request for the rest of it.

A chat goes on as a partial assistant message, a completion as prompt plus text. Where the engine
gave token ids, both go on as a completion from exactly those ids, and `continued.py` wraps the
answer as what the client began with. What replay would corrupt is refused, with the reason.

Two losses of text are avoided here. Empty pieces at the end are tokens of an unfinished character:
the next replica says them again. White space at the end is left out of the request, and `overlap`
tells what will come again: a chat template may strip it, and tokenizers write it as other tokens
before a word than at the end of a text, after which a model says something else.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import msgspec

from headrace.gateway.control import Resume
from headrace.gateway.transcript import Told

COMPLETIONS = "/v1/completions"
CHAT = "/v1/chat/completions"
_COMPLETION_TOKENS = 16
"""OpenAI's default of `max_tokens` for completions."""

_GUIDED = frozenset(
    ("structured_outputs", "guided_json", "guided_regex", "guided_choice", "guided_grammar",
     "json_schema", "regex", "ebnf")
)  # fmt: skip
"""Fields, of several engines, that bind the answer to a grammar."""
_SAMPLING = frozenset(
    ("model", "stream", "stream_options", "temperature", "top_p", "top_k", "min_p", "seed", "stop",
     "stop_token_ids", "include_stop_str_in_output", "ignore_eos", "presence_penalty", "user",
     "frequency_penalty", "repetition_penalty", "logit_bias", "bad_words", "skip_special_tokens",
     "spaces_between_special_tokens", "priority", "cache_salt", "min_tokens", "allowed_token_ids",
     "return_token_ids")
)  # fmt: skip
"""Fields that mean the same for a chat and for a completion."""
_CHAT_ONLY = frozenset(("messages", "max_tokens", "max_completion_tokens", "n"))
"""Fields of a chat that `_from_ids` replaces; with any other one, only the chat can go on."""


@dataclass(frozen=True)
class Resumption:
    """What to ask the next replica, which is given the first `tokens` tokens of the answer.

    `overlap` was told already and comes again; `mute` drops all text, as only the end is missing.
    `prompt_tokens` is the length of the prompt where it is known. `rewrap`: the client has a chat
    and the replica answers with a completion.
    """

    path: str
    body: bytes
    tokens: int = 0
    overlap: str = ""
    mute: bool = False
    prompt_tokens: int | None = None
    rewrap: bool = False


def resume(path: str, body: bytes, told: Told, engine: Resume) -> Resumption | str:
    """Return the request for the rest of an answer, or why there is none."""
    if told.obstacle:
        return f"{told.obstacle}, which cannot be replayed"
    if not told.whole:
        return Resumption(path, body)
    asked: dict[str, Any] = msgspec.json.decode(body)
    obstacle = _obstacle(path, asked)
    if obstacle:
        return f"{obstacle} cannot be replayed"
    limit = _limit(path, asked)
    mute = limit is not None and limit <= told.tokens(told.whole)
    count = told.whole - mute  # the last token is asked for once more if only the end is missing
    exact = _from_ids(path, asked, told, count, engine)
    if exact is not None:
        return replace(exact, mute=mute)
    if path == CHAT:
        text = _from_message(asked, told.pieces[: told.whole], count, engine)
    else:
        text = _from_text(asked, told.pieces[: told.whole], count)
    return replace(text, mute=mute) if isinstance(text, Resumption) else text


def _obstacle(path: str, asked: dict[str, Any]) -> str:
    """Return what about a request forbids to replay it."""
    kind, choice, prompt = (asked.get(k) for k in ("response_format", "tool_choice", "prompt"))
    found = {
        "guided decoding": (isinstance(kind, dict) and kind.get("type") != "text")
        or any(asked.get(name) is not None for name in _GUIDED),
        "a forced tool call": isinstance(choice, dict) or choice == "required",
        "n or best_of above 1": any(asked.get(k) not in (None, 1) for k in ("n", "best_of")),
        "beam search": bool(asked.get("use_beam_search")),
        "several prompts": isinstance(prompt, list) and not _are_ids(prompt),
        "a prompt of embeddings": asked.get("prompt_embeds") is not None,
        "echo": bool(asked.get("echo")),
        "logprobs with offsets": path != CHAT and asked.get("logprobs") is not None,
        "prompt_logprobs": asked.get("prompt_logprobs") is not None,
        "truncate_prompt_tokens": asked.get("truncate_prompt_tokens") is not None,
    }
    return next((name for name, is_so in found.items() if is_so), "")


def _are_ids(prompt: list[Any]) -> bool:
    return bool(prompt) and all(isinstance(token, int) for token in prompt)


def _limit(path: str, asked: dict[str, Any]) -> int | None:
    """Return the most tokens the client wants, None for as many as fit."""
    limit: int | None = asked.get("max_tokens", None if path == CHAT else _COMPLETION_TOKENS)
    return (asked.get("max_completion_tokens") or limit) if path == CHAT else limit


# -- three ways to go on ----------------------------------------------------------------------


def _from_message(
    asked: dict[str, Any], pieces: list[str], count: int, engine: Resume
) -> Resumption | str:
    """Continue the partial assistant message, up to its last `count` pieces or white space."""
    if not engine.chat:
        return "its engine cannot continue a chat"
    given = _without_space(pieces[:count])
    text = "".join(given)
    messages = list(asked["messages"])
    if asked.get("continue_final_message"):
        last = messages.pop()
        if not isinstance(last.get("content"), str):
            return "the message to continue is not plain text"
        message = last | {"content": last["content"] + text}
    else:
        message = {"role": "assistant", "content": text}
    more: dict[str, Any] = {"messages": messages}
    if text or asked.get("continue_final_message"):
        more["messages"] = [*messages, message]
        more |= {"continue_final_message": True, "add_generation_prompt": False}
    body = _shortened(CHAT, asked, len(given)) | more
    overlap = "".join(pieces)[len(text) :]
    return Resumption(CHAT, _encode(body), len(given), overlap)


def _without_space(pieces: list[str]) -> tuple[str, ...]:
    """Return the pieces without white space at the end."""
    given = list(pieces)
    while given and not given[-1].rstrip():
        given.pop()
    if given:
        given[-1] = given[-1].rstrip()
    return tuple(given)


def _from_text(asked: dict[str, Any], pieces: list[str], count: int) -> Resumption | str:
    """Continue the prompt with the text, up to its last `count` pieces or white space."""
    prompt = asked.get("prompt") or ""
    if not isinstance(prompt, str):
        return "a prompt of token ids needs an answer with token ids"
    given = _without_space(pieces[:count])
    text = "".join(given)
    body = _shortened(COMPLETIONS, asked, len(given)) | {"prompt": prompt + text}
    return Resumption(COMPLETIONS, _encode(body), len(given), "".join(pieces)[len(text) :])


def _from_ids(
    path: str, asked: dict[str, Any], told: Told, count: int, engine: Resume
) -> Resumption | None:
    """Continue the token ids of prompt and answer; None where that is not possible."""
    if not engine.token_ids or told.ids is None or told.prompt_ids is None:
        return None
    tokens = told.tokens(count)
    body = _shortened(path, asked, tokens)
    if path == CHAT:
        if not _says_the_same(asked):
            return None
        limit = _limit(path, body)
        if limit is None and engine.context is not None:
            limit = engine.context - len(told.prompt_ids) - tokens
        if limit is None:
            return None
        body = {name: body[name] for name in body.keys() & _SAMPLING} | {"max_tokens": limit}
    body |= {"prompt": told.prompt_ids + told.ids[:tokens], "return_token_ids": True}
    return Resumption(
        path=COMPLETIONS,
        body=_encode(body),
        tokens=tokens,
        prompt_tokens=len(told.prompt_ids),
        rewrap=path == CHAT,
    )


def _says_the_same(asked: dict[str, Any]) -> bool:
    """Whether a chat is nothing but text and sampling, so that a completion does the same."""
    other = asked.keys() - _SAMPLING - _CHAT_ONLY
    plain = all(isinstance(message.get("content"), str) for message in asked["messages"])
    return plain and all(asked[name] is None for name in other)


def _shortened(path: str, asked: dict[str, Any], tokens: int) -> dict[str, Any]:
    """Return the request with `tokens` fewer to come."""
    body = dict(asked)
    limit = _limit(path, asked)
    if limit is not None:
        name = "max_completion_tokens" if asked.get("max_completion_tokens") else "max_tokens"
        body[name] = max(1, limit - tokens)
    if asked.get("min_tokens"):
        body["min_tokens"] = max(0, asked["min_tokens"] - tokens)
    return body


_encode = msgspec.json.encode
