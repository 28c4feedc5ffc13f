"""English of exact length: sentences of words that are one token each by the tokenizer at hand.

Random token ids would do for a length, but decoded and encoded again they are other tokens, and no
model was made for such text. A common word with the space before it is one token in nearly every
vocabulary, and stays one beside any other such word, so n of them are n tokens: still counted, and
mended where a tokenizer is unusual (`prose.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from headrace.bench.tokens import TokenizerError

_ADJECTIVES = (
    "old new small large long short high low cold warm dark bright quiet loud fast slow deep early "
    "late clean dry wet green blue white black red heavy light strong weak open closed rich poor "
    "young wide narrow simple hard soft sweet wild free full empty local public common rare great "
    "little good bad clear sharp safe private modern ancient single double final first second"
)
_NOUNS = (
    "water river house road city town field forest mountain valley bridge boat ship train car "
    "horse dog cat bird fish tree leaf stone rock sand wind rain snow fire sun moon star night day "
    "morning evening summer winter spring man woman child family friend king queen doctor teacher "
    "student writer book letter story song picture school church market farm garden kitchen table "
    "chair door window wall floor roof room bed lamp clock glass bottle bread milk coffee tea "
    "apple sugar salt money bank office company worker engine machine wheel tool knife hammer "
    "power light heat energy voice sound music word name number line point circle map plan idea "
    "question answer problem reason law war peace army village island coast sea ocean lake"
)
_VERBS = (
    "sees finds keeps holds takes gives makes carries follows leaves crosses reaches turns moves "
    "opens closes builds brings covers draws needs wants knows likes loves hates meets helps calls "
    "shows tells asks serves saves uses pays buys sells sends reads writes watches visits"
)
_BETWEEN = (
    "under over near behind beside above below across through around against before after with "
    "without from into toward along for"
)
_JOINS = "and but while because until when where as so or if since"
_PATTERN = ("the", "adjective", "noun", "verb", "the", "noun", "between", "a", "noun", "join")
"""A sentence, over and over; five of its ten words are drawn from many."""
_POOLS = {
    "the": "the",
    "a": "a",
    "adjective": _ADJECTIVES,
    "noun": _NOUNS,
    "verb": _VERBS,
    "between": _BETWEEN,
    "join": _JOINS,
}
_GROUP = 16
"""Words that are tried at once, when many are expected to be one token."""
_FEWEST = 12
"""Words without which a text would repeat itself."""


class Lexicon:
    """Words by their place in a sentence, each one token behind a space, by `length` of a text.

    `lead` stands before a text: a space where the first word is not one token without it.
    """

    def __init__(self, length: Callable[[str], int]) -> None:
        words = dict.fromkeys(word for pool in _POOLS.values() for word in pool.split())
        base = length("the")
        known = set(_singles(tuple(words), lambda text: length(f"the {text}") - base))
        if len(known) < _FEWEST:
            raise TokenizerError(
                f"only {len(known)} of {len(words)} common English words are one token by this"
                " tokenizer, so texts of an exact length cannot be made; give prompts in a file"
            )
        every = tuple(sorted(known))
        self.words = every
        found = {
            place: tuple(word for word in pool.split() if word in known) or every
            for place, pool in _POOLS.items()
        }
        self.pattern: tuple[tuple[str, ...], ...] = tuple(found[place] for place in _PATTERN)
        heads, more = self.pattern[0], self.words[0]
        plain = all(length(f"{head} {more}") == len((head, more)) for head in heads)
        self.lead = "" if plain else " "


def _singles(words: Sequence[str], adds: Callable[[str], int]) -> Iterator[str]:
    """Yield the words that add one token each; whole groups at a time, as they mostly do."""
    for at in range(0, len(words), _GROUP):
        yield from _halved(words[at : at + _GROUP], adds)


def _halved(words: Sequence[str], adds: Callable[[str], int]) -> Iterator[str]:
    """Yield those of a group; no word adds less than one, so a sum of one each is one for each."""
    if adds(" ".join(words)) == len(words):
        yield from words
    elif len(words) > 1:
        half = len(words) // 2
        yield from _halved(words[:half], adds)
        yield from _halved(words[half:], adds)
