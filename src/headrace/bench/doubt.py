"""A reason not to trust a run's figures, or to trust them less."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Severity(StrEnum):
    """How much it takes away, the worst first."""

    WORTHLESS = "worthless"
    """The figures say something else than they seem to: do not use them."""
    DOUBTFUL = "doubtful"
    """Some figures may be off; which ones, the sentence says."""
    NOTE = "note"
    """Nothing is wrong, but a reader should know."""


class Kind(StrEnum):
    """What a doubt is about, where somebody knows better: repeats, or a load that is to fail."""

    FEW = "few answers"
    FAILED = "failed requests"


class Doubt(msgspec.Struct, frozen=True):
    """What is wrong, in a sentence with its figures, and what to do about it."""

    severity: Severity
    sentence: str
    remedy: str
    kind: Kind | None = None

    def __str__(self) -> str:
        """Both sentences."""
        return f"{self.sentence} {self.remedy}"


def worthless(sentence: str, remedy: str, kind: Kind | None = None) -> Doubt:
    """Return a doubt that leaves nothing of a run."""
    return Doubt(Severity.WORTHLESS, sentence, remedy, kind)


def doubtful(sentence: str, remedy: str, kind: Kind | None = None) -> Doubt:
    """Return a doubt about some figures."""
    return Doubt(Severity.DOUBTFUL, sentence, remedy, kind)


def note(sentence: str, remedy: str) -> Doubt:
    """Return what a reader should know."""
    return Doubt(Severity.NOTE, sentence, remedy)
