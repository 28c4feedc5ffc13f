"""The words of a request and its answer, for routes whose records keep them; for others nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from headrace.gateway.records import TEXT_KEPT, clip
from headrace.gateway.request import NULL

if TYPE_CHECKING:
    from headrace.gateway.account import Account
    from headrace.gateway.request import Peek
    from headrace.gateway.transcript import Transcript


class _Message(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    text: str | None = None
    message: _Message | None = None


class _Answer(msgspec.Struct):
    choices: list[_Choice] = []


def keeps_answer(account: Account) -> bool:
    """Whether the request's route records answers."""
    return account.direction is not None and account.direction.route.record_answers


def words_of(account: Account, transcript: Transcript) -> tuple[str | None, str | None]:
    """Return the prompt as JSON and the answer as text, each None unless the route keeps it."""
    if account.direction is None or account.peek is None:
        return None, None
    prompt = _prompt(account.peek) if account.direction.route.record_prompts else None
    answer = _answer(account, transcript) if keeps_answer(account) else None
    return prompt, answer


def _prompt(peek: Peek) -> str:
    raw = next((bytes(p) for p in (peek.messages, peek.prompt, peek.input) if p != NULL), b"")
    return clip(raw[: 4 * TEXT_KEPT + 4].decode("utf-8", "replace"))  # 4 bytes a character at most


def _answer(account: Account, transcript: Transcript) -> str | None:
    if account.kept is None:
        return None if transcript.empty else clip("".join(transcript.read().pieces))
    try:
        choices = msgspec.json.decode(account.kept, type=_Answer).choices
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    texts = (one.text or (one.message.content if one.message else None) for one in choices)
    return clip("\n".join(text for text in texts if text))
