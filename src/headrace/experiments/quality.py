"""How far a variant's answers are from those of the full weights, beside the full ones' own noise.

Four looks. *Tasks* have one right answer; a loss is certain if a sign test says so. *Texts*: how
much less likely the variant finds them, as a share of perplexity, with a paired t interval. *The
full model's own answers*, read by the variant: how many of their tokens it would have chosen, too.
*Free answers*: how many are the same to the end; one token that falls otherwise changes all after
it, so this is the harshest look and the least telling. The noise is the full model asked again with
other batches: near ties fall otherwise there, and no variant is to blame for as much.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

import msgspec

from headrace.experiments.questions import Question, right
from headrace.experiments.repeats import contrast
from headrace.experiments.replies import Likely, Reply

SURE = 0.05
"""Chance below which a loss of tasks is no chance."""


class Answered(msgspec.Struct, frozen=True, kw_only=True, tag="answered"):
    """Everything one copy said, `together` requests at a time.

    `texts` is how likely it finds the texts, `answers` the same of the full model's first replies.
    """

    label: str
    together: int
    questions: tuple[Question, ...]
    replies: tuple[Reply, ...]
    texts: tuple[Likely, ...]
    answers: tuple[Likely, ...]

    @property
    def rights(self) -> list[bool]:
        """Of each task whether it was done."""
        pairs = zip(self.questions, self.replies, strict=True)
        return [right(said.text, one.answer) for one, said in pairs if one.answer is not None]


@dataclass(frozen=True)
class Apart:
    """How far one set of answers is from another; shares from 0 to 1.

    `lost` tasks only the first did, `won` only the second. `perplexity` is the share by which the
    texts' grows, `low` to `high` its 95 % interval. `first` is of the first one's answers the share
    of tokens that the second finds likeliest, `drop` how many nats a token of them loses. `same`
    are the free answers without a difference, `until` the mean share before the first one.
    """

    tasks: int
    done: int
    lost: int
    won: int
    perplexity: float
    low: float
    high: float
    first: float
    drop: float
    same: float
    until: float

    @property
    def chance(self) -> float:
        """How probable so uneven a gain and loss of tasks are by chance (two-sided sign test)."""
        return sign_test(self.lost, self.won)

    @property
    def fewer(self) -> bool:
        """Whether it certainly does fewer tasks."""
        return self.lost > self.won and self.chance < SURE


def apart(before: Answered, after: Answered) -> Apart:
    """Compare two sets of answers to the same questions."""
    one, other = before.rights, after.rights
    middle, half = _texts(before.texts, after.texts)
    shares = [agreement(a.ids, b.ids) for a, b in zip(before.replies, after.replies, strict=True)]
    return Apart(
        tasks=len(one),
        done=sum(other),
        lost=sum(a and not b for a, b in zip(one, other, strict=True)),
        won=sum(b and not a for a, b in zip(one, other, strict=True)),
        perplexity=math.expm1(middle),
        low=math.expm1(middle - half),
        high=math.expm1(middle + half) if half < math.inf else math.inf,
        first=_share(after.answers),
        drop=_mean(after.answers) - _mean(before.answers),
        same=sum(share == 1 for share in shares) / len(shares) if shares else 1.0,
        until=sum(shares) / len(shares) if shares else 1.0,
    )


def sign_test(lost: int, won: int) -> float:
    """Return the two-sided probability of so uneven a split of fair coins; 1 without any."""
    n, fewer = lost + won, min(lost, won)
    ways = sum(math.comb(n, k) for k in range(fewer + 1))
    return float(min(1.0, 2 * ways / 2**n))


def agreement(one: Sequence[int], other: Sequence[int]) -> float:
    """Return the share of tokens before the first that differs; 1 if none does."""
    longest = max(len(one), len(other))
    if not longest:
        return 1.0
    pairs = zip(one, other, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs)) / longest


def _texts(before: Sequence[Likely], after: Sequence[Likely]) -> tuple[float, float]:
    """Return by how many nats a token the texts lose, and the half width of that at 95 %."""
    changes = [b.mean - a.mean for a, b in zip(before, after, strict=True) if a.tokens]
    if not changes:
        return 0.0, math.inf
    # Paired: the texts differ far more from each other than the weights do on any of them.
    against_none = contrast([0.0] * len(changes), changes)
    return against_none.change, against_none.noise


def _share(some: Sequence[Likely]) -> float:
    tokens = sum(one.tokens for one in some)
    return sum(one.first for one in some) / tokens if tokens else 1.0


def _mean(some: Sequence[Likely]) -> float:
    tokens = sum(one.tokens for one in some)
    return sum(one.nats for one in some) / tokens if tokens else 0.0
