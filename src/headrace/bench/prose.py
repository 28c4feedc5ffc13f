"""Prompts of exactly so many tokens, each unlike all others from its first sentence on.

Texts follow from the order's seed and a key, so the same order gives the same prompts, and a block
that two prompts share is written alike in both.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle

import numpy as np

from headrace.bench.asks import Prompt
from headrace.bench.lexicon import Lexicon
from headrace.bench.room import Room
from headrace.bench.tokens import PROBE, Tokenizer, TokenizerError

_BLOCK = 4
"""What a text is for; the first part of its key."""
_TRIES = 16
_BEGINNING = 12
"""Words by which two prompts must differ: less than the smallest block that engines share."""
_DOUBLE_TRIES = 20


class Prose:
    """Writes texts for one tokenizer; `seed` is the order's, `room` counts what could not be."""

    def __init__(self, tokenizer: Tokenizer, seed: int, room: Room) -> None:
        self.tokenizer, self._seed = tokenizer, seed
        self._lexicon = Lexicon(self.length)
        self._begun: set[tuple[str, ...]] = set()
        self._own: dict[Prompt, int] = {}
        self._room = room

    def length(self, text: str) -> int:
        """Return the tokens of a text alone."""
        return len(self.tokenizer.encode(text))

    def words(self, number: int, *key: int) -> list[str]:
        """Return so many words, one token each, that follow from a key."""
        random = np.random.default_rng([self._seed, *(part % 2**64 for part in key)])
        drawn = random.integers(0, 2**31, number).tolist()
        return [
            pool[draw % len(pool)]
            for pool, draw in zip(cycle(self._lexicon.pattern), drawn, strict=False)
        ]

    def block(self, number: int, name: int, *, first: bool) -> list[str]:
        """Return the words of a trace's block: its name in three words, and what follows from it.

        Cut to a token or two, blocks that have the same beginning must still differ. A prompt's
        `first` block begins as all texts do, or it might be a token longer.
        """
        every = self._lexicon.words
        named = [every[name // len(every) ** place % len(every)] for place in range(3)]
        begin = [self._lexicon.pattern[0][0]] if first else []
        return [*begin, *named, *self.words(number, _BLOCK, name)][:number]

    def text(self, words: list[str]) -> str:
        """Return words as the beginning of a text."""
        return self._lexicon.lead + " ".join(words)

    def own(self, wrap: Callable[[str], Prompt]) -> int:
        """Return the tokens that a prompt has beside a text in it: template, special ones."""
        probe = wrap(PROBE)
        if probe not in self._own:
            self._own[probe] = self.tokenizer.count(probe) - self.length(PROBE)
        return self._own[probe]

    def unlike(self, number: int, *key: int) -> list[str]:
        """Return words whose beginning no earlier call returned, as far as their number allows."""
        for again in range(_DOUBLE_TRIES):
            words = self.words(number, *key, again)
            beginning = tuple(words[:_BEGINNING])
            if beginning not in self._begun:
                self._begun.add(beginning)
                return words
        self._room.alike += 1
        return words

    def fitted(self, words: list[str], total: int, wrap: Callable[[str], Prompt]) -> Prompt:
        """Return a prompt of exactly `total` tokens around some words; TokenizerError if none is.

        Words are dropped or added at the end until the tokenizer counts what was asked for.
        """
        for _ in range(_TRIES):
            prompt = wrap(self.text(words))
            more = total - self.tokenizer.count(prompt)
            if not more:
                return prompt
            words = words + self.words(more, len(words)) if more > 0 else words[:more]
        raise TokenizerError(
            f"no text of exactly {total:,} tokens was found by {self.tokenizer.label}"
        )
