"""What one engine's OpenAI API takes, and in which words it refuses the rest.

Each face has one; `request.py` reads requests by it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


class RefusedError(Exception):
    """The request gets `status` and the JSON `body` and nothing else."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(str(body))
        self.status = status
        self.body = body


@dataclass(frozen=True)
class Dialect:
    """What one engine takes; `refusal` turns (status, type, message, parameter) into its error."""

    refusal: Callable[[int, str, str, str | None], RefusedError]
    json_only: bool = False
    """Refuses a body whose content type is not JSON."""
    known: frozenset[str] | None = None
    """The fields that it takes, where it refuses others."""
    checks_model: bool = True
    token_prompts: bool = True
    batches: bool = True
    """Takes several prompts at once."""
    chat_ids: str = ""
    """The field in which a chat brings its prompt as token ids."""
    token_ids: bool = False
    """Answers `return_token_ids`."""
    raw_ids: bool = False
    """`detokenize: false` gives ids instead of text (trtllm-serve)."""
    continues: bool = False
    """Knows `continue_final_message`."""
    prompts_chats: bool = False
    """Always adds a generation prompt."""
    many: bool = True
    greedy_is_one: bool = False
    """Refuses several answers without sampling."""
    logprobs: bool = True
    keeps_stop: bool = False
    """Shows the stop string that it found."""
    completion_tokens: int = 16
    """Generated unasked; a chat may fill the context."""
