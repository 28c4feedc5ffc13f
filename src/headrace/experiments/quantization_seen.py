"""What was measured of full and quantized weights, sorted: points, and what they come to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from headrace.experiments.case import Case
from headrace.experiments.change import AS_IT_IS
from headrace.experiments.compared import compared
from headrace.experiments.measured import Measured
from headrace.experiments.quality import Answered, Apart, apart
from headrace.experiments.repeats import Contrast

FULL = AS_IT_IS.label
QUANTIZED = "quantized"
LIMIT = 0.02
"""Share of perplexity that may be lost, unless the settings say otherwise."""
MATTERS = 0.05
"""Share of the tokens/s that is a gain or a loss."""


class Held(msgspec.Struct, frozen=True, kw_only=True, tag="held"):
    """What a copy takes, in bytes: its weights' files and its processes; its KV cache in tokens."""

    label: str
    weights: int
    memory: int
    kv_tokens: int | None = None
    started: float


class Timed(msgspec.Struct, frozen=True, kw_only=True, tag="timed"):
    """One run."""

    label: str
    repeat: int
    figures: Measured


Point = Held | Timed | Answered


@dataclass(frozen=True)
class Seen:
    """All that was measured, by what it is of; None where it was not."""

    full: Held | None
    small: Held | None
    rows: dict[str, Contrast]
    quality: Apart | None
    noise: Apart | None
    """The full weights asked again, in other batches."""
    limit: float

    @property
    def gain(self) -> Contrast | None:
        """Of the output tokens/s."""
        return self.rows.get("output_tokens")

    @property
    def speed(self) -> int:
        """1 for certainly faster, -1 for certainly slower, 0 for neither."""
        gain = self.gain
        if gain is None or not gain.certain or abs(gain.share) < MATTERS:
            return 0
        return 1 if gain.share > 0 else -1

    @property
    def saved(self) -> float | None:
        """The share of the weights' bytes that is saved."""
        if self.full is None or self.small is None:
            return None
        return 1 - self.small.weights / self.full.weights

    @property
    def worse(self) -> bool | None:
        """Whether quality certainly suffers beyond the limit; None where it is not decided."""
        if self.quality is None:
            return None
        if self.quality.fewer or self.quality.low > self.limit:
            return True
        return None if self.quality.high > self.limit else False


def seen(points: Sequence[Point], case: Case) -> Seen:
    """Sort what was measured."""
    held = {one.label: one for one in points if isinstance(one, Held)}
    timed = [one for one in points if isinstance(one, Timed)]
    said = [one for one in points if isinstance(one, Answered)]
    full = [one for one in said if one.label == FULL]
    small = [one for one in said if one.label == QUANTIZED]
    return Seen(
        full=held.get(FULL),
        small=held.get(QUANTIZED),
        rows=compared(*([t.figures for t in timed if t.label == x] for x in (FULL, QUANTIZED))),
        quality=apart(full[0], small[0]) if full and small else None,
        noise=apart(full[0], full[1]) if len(full) > 1 else None,
        limit=float(case.settings.get("limit", LIMIT)),
    )
