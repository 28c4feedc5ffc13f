"""What the drill's clients ask: streams that differ, and whose right length is known.

Chat and completions, with and without usage and token ids, some not streamed, all greedy and of a
fixed number of tokens. Ask number n of a seed is always the same. `client.py` sends it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

_TOPICS = (
    "how a river turns into electric light",
    "the first engineers who dammed a valley",
    "why a mill pond freezes from the top",
    "a keeper who watches the gates at night",
    "Flüsse, Schleusen und Müller im Märchen",
    "水車のある村の一日",
    "a letter from a turbine to the sea 🌊",
    "what fish think of ladders",
)
_CHATS, _STREAMED, _WITH_USAGE, _WITH_IDS, _WITH_SYSTEM = 0.5, 0.85, 0.4, 0.5, 0.1
"""Shares of the asks."""
_SYSTEM = "You write plain prose in long paragraphs."


@dataclass(frozen=True, slots=True)
class Ask:
    """One request; `tokens` is how many its answer must have."""

    number: int
    chat: bool
    stream: bool
    usage: bool
    ids: bool
    system: bool
    prompt: str
    tokens: int

    @property
    def path(self) -> str:
        """Where it goes, below the fleet's address."""
        return "/chat/completions" if self.chat else "/completions"

    @property
    def messages(self) -> list[dict[str, str]]:
        """The prompt as a chat."""
        system = [{"role": "system", "content": _SYSTEM}] if self.system else []
        return [*system, {"role": "user", "content": self.prompt}]

    def fields(self, model: str) -> Mapping[str, Any]:
        """Return the request's body."""
        body: dict[str, Any] = {"model": model, "max_tokens": self.tokens}
        # Not `ignore_eos`: with that a model runs over its end token, which no text shows, and what
        # follows cannot be told from the text any more. So the end token is never sampled.
        body |= {"min_tokens": self.tokens, "temperature": 0, "stream": self.stream}
        body |= {"messages": self.messages} if self.chat else {"prompt": self.prompt}
        if self.stream and self.usage:
            body["stream_options"] = {"include_usage": True}
        if self.ids:
            body["return_token_ids"] = True
        return body

    def body(self, model: str) -> bytes:
        """Return the request's body as bytes."""
        return json.dumps(self.fields(model), ensure_ascii=False).encode()


def make_ask(number: int, *, seed: int, tokens: int) -> Ask:
    """Return ask `number`.

    Its kind is drawn: if kinds followed in turns, one replica could get all asks of one kind.
    """
    random = Random(f"{seed}:{number}")  # noqa: S311 - variety, not secrecy
    topic = _TOPICS[random.randrange(len(_TOPICS))]
    more = " Take your time." * random.randrange(12)
    return Ask(
        number=number,
        chat=random.random() < _CHATS,
        stream=random.random() < _STREAMED,
        usage=random.random() < _WITH_USAGE,
        ids=random.random() < _WITH_IDS,
        system=random.random() < _WITH_SYSTEM,
        prompt=f"Request {seed}.{number}: write about {topic}.{more} The text begins:",
        tokens=tokens,
    )
