"""What a diagnosis says: findings, where the time went, what is missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from headrace.diagnosis.causes import CARDS, Cause, Part
from headrace.diagnosis.observation import Unseen


class Confidence(StrEnum):
    """How many kinds of figures say so."""

    STRONG = "strong"
    """Two or more that do not depend on each other, or one that nothing else explains."""
    FAIR = "fair"
    """One."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A cause, with the figures that show it, in words.

    `weight` (0 to 1) is the share of all time that requests lost to it, or of requests that it
    harmed. `part` is the cause's own but where nothing explains what is slow.
    """

    cause: Cause
    figures: tuple[str, ...]
    weight: float
    confidence: Confidence = Confidence.FAIR
    part: Part

    @property
    def advice(self) -> str:
        """What to change."""
        return CARDS[self.cause].advice

    @property
    def experiment(self) -> str:
        """What to try next, to be sure."""
        return CARDS[self.cause].experiment


def found(
    cause: Cause, figures: tuple[str, ...], weight: float, *, strong: bool = False
) -> Finding:
    """Return a finding of the part that the cause belongs to."""
    return Finding(
        cause=cause,
        figures=figures,
        weight=min(1.0, weight),
        confidence=Confidence.STRONG if strong else Confidence.FAIR,
        part=CARDS[cause].part,
    )


def brings(root: Finding, other: Finding) -> bool:
    """Whether a finding explains another.

    What happens to a replica is a fact; of the rest, nothing explains what weighs more.
    """
    leads = other.cause in CARDS[root.cause].leads_to
    return leads and (root.part == Part.LIFE_CYCLE or root.weight >= other.weight)


class Judgement(StrEnum):
    """What comes out of a diagnosis."""

    HEALTHY = "healthy"
    AT_FAULT = "at fault"
    NOT_ENOUGH_DATA = "not enough data"


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """The verdict on one deployment: one sentence, then findings, the root first.

    `times` says where the time of a mean request went, in seconds by the name of the wait.
    """

    name: str
    judgement: Judgement
    verdict: str
    findings: tuple[Finding, ...] = ()
    times: Mapping[str, float]
    requests: int
    missing: tuple[Unseen, ...] = ()
