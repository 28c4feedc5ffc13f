"""What is asked of a fleet: conversations that begin at fixed times, the same for the same seed.

Words are ones that the twin's tokenizer (and every other) has as one token each, so lengths in
words are about lengths in tokens.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

_TEXT = (
    "the water a river flows to and from high cold mountains where old snow melts in early summer "
    "while turbines turn below with quiet power for every town along its banks until night falls"
)
_WORDS = _TEXT.split()


@dataclass(frozen=True)
class Talk:
    """A conversation: it begins at `start` seconds, and asks `asks` one after the other.

    `pause` is the time between the end of an answer and the next question, in seconds; `tokens` is
    the length of each answer. `kind` is what its figures are counted under.
    """

    kind: str
    start: float
    asks: tuple[str, ...]
    tokens: int
    pause: float = 0.0
    system: str = ""
    model: str = "chat"


@dataclass(frozen=True)
class Shape:
    """What kind of load: `rate` requests a second that begin within `seconds`.

    `length` is a factor on the lengths of prompts, for engines with a short context; another `salt`
    gives other words at the same times, for caches that are warm with the old ones.
    """

    seed: int
    rate: float
    seconds: float
    length: float = 1.0
    salt: str = ""

    @property
    def clock(self) -> Random:
        """Draws times."""
        return Random(f"times {self.seed}")

    @property
    def talk(self) -> Random:
        """Draws words."""
        return Random(f"words {self.seed} {self.salt}")


def words(random: Random, count: float) -> str:
    """Return so many words."""
    return " " + " ".join(random.choices(_WORDS, k=round(count)))


def times(random: Random, rate: float, seconds: float) -> Iterator[float]:
    """Yield random times at a mean rate for each second."""
    at = random.expovariate(rate)
    while at < seconds:
        yield at
        at += random.expovariate(rate)


def conversations(of: Shape) -> list[Talk]:
    """Return chats that grow: each question follows on everything said before it."""
    random, length = of.talk, of.length
    system = words(random, 200 * length)
    return [
        Talk(
            kind="talk",
            start=at,
            asks=(words(random, 1500 * length), *(words(random, 150 * length) for _ in range(5))),
            tokens=40,
            pause=2.0,
            system=system,
        )
        for at in times(of.clock, of.rate / 6, of.seconds)
    ]


def hot(of: Shape) -> list[Talk]:
    """Return single questions of which nine in ten share one prefix of 8000 tokens."""
    random, length = of.talk, of.length
    shared = words(random, 8000 * length)
    return [
        Talk(
            kind="hot" if one else "other",
            start=at,
            asks=(words(random, 60 * length),),
            tokens=40,
            system=shared if one else words(random, 1000 * length),
        )
        for at in times(of.clock, of.rate, of.seconds)
        for one in [random.random() < 0.9]
    ]


def unshared(of: Shape) -> list[Talk]:
    """Return single questions that have nothing in common."""
    random, length = of.talk, of.length
    return [
        Talk(
            kind="none",
            start=at,
            asks=(words(random, length * random.randint(200, 3000)),),
            tokens=40,
        )
        for at in times(of.clock, of.rate, of.seconds)
    ]


def mixed(seed: int, seconds: float, documents: float) -> list[Talk]:
    """Return what several teams ask at once: completions, short chats, and long documents.

    Four completions and three chats begin each second, and `documents` documents of 10 000 to
    40 000 tokens.
    """
    random = Random(f"mixed {seed}")
    talks = [
        Talk("complete", at, (words(random, 80),), tokens=12, model="complete")
        for at in times(random, 4.0, seconds)
    ]
    talks += [
        Talk("chat", at, (words(random, random.randint(20, 300)),), tokens=40)
        for at in times(random, 3.0, seconds)
    ]
    talks += [
        Talk("document", at, (words(random, random.randint(10_000, 40_000)),), tokens=80)
        for at in times(random, documents, seconds)
    ]
    return sorted(talks, key=lambda talk: talk.start)
