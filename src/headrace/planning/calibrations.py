"""Measured efficiencies, kept beside the fleet file: plans rest on them, and reviews see them.

`headrace calibrate` adds one for each accelerator, engine version and layout kind; a plan takes the
one that is nearest to what it plans, and says which.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from headrace.capacity.efficiency import Efficiency
from headrace.capacity.setup import Setup
from headrace.planning.errors import PlanError

ELSEWHERE = 0.15
"""Error of a calibration for another model or layout: facts of published runs say 11 to 17 %."""


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """What a run taught; `tensor` are the accelerators that shared its layers."""

    accelerator: str
    engine: str
    model: str
    parameters: int
    """Of the model: what tells it apart from others of its architecture."""
    tensor: int = 1
    run: str
    """The file that was measured, as it was named."""
    requests: int
    fitted: str
    """The day, as 2026-11-28."""
    efficiency: Efficiency


@dataclass(frozen=True)
class Calibrations:
    """All that a fleet file has beside it; `path` is where they are kept."""

    path: Path
    known: tuple[Calibration, ...] = ()

    @classmethod
    def beside(cls, fleet: Path) -> Calibrations:
        """Read them; PlanError if the file is damaged. Without one nothing is known."""
        path = fleet.with_suffix(".calibration.json")
        try:
            return cls(path, tuple(msgspec.json.decode(path.read_bytes(), type=list[Calibration])))
        except FileNotFoundError:
            return cls(path)
        except (OSError, msgspec.MsgspecError) as error:
            raise PlanError(f"{path}: {error}; `headrace calibrate` makes it anew") from error

    def find(self, setup: Setup, engine: str) -> Efficiency | None:
        """Return the efficiency measured nearest to `setup`: its accelerator, then the rest."""
        same = [one for one in self.known if one.accelerator == setup.accelerator.name]
        best = max(same, key=lambda one: _nearness(one, setup, engine), default=None)
        return _for(best, setup, engine) if best else None

    def learned(self, new: Calibration) -> Calibrations:
        """Return them with `new` in the place of what it supersedes."""
        kept = [one for one in self.known if _subject(one) != _subject(new)]
        return Calibrations(self.path, (*kept, new))

    def write(self) -> None:
        """Write the file, one calibration after the other, for a review to read."""
        text = msgspec.json.format(msgspec.json.encode(list(self.known)), indent=2)
        whole = self.path.with_suffix(".tmp")
        whole.write_bytes(text + b"\n")
        whole.replace(self.path)


def _for(one: Calibration, setup: Setup, engine: str) -> Efficiency:
    """Return its efficiency; with a wider error where it was measured on something else."""
    measured = {
        one.model: one.parameters != setup.architecture.parameters.total,
        f"TP{one.tensor}": one.tensor != setup.layout.tensor,
        f"vLLM {one.engine}": one.engine != engine,
    }
    others = [name for name, differs in measured.items() if differs]
    if not others:
        return one.efficiency
    error = max(one.efficiency.error, ELSEWHERE)
    label = f"{one.efficiency.label}, but of {' and '.join(others)}: ±{error:.0%}"
    return replace(one.efficiency, error=error, label=label)


def _subject(one: Calibration) -> tuple[str, str, str, int]:
    return one.accelerator, one.engine, one.model, one.tensor


def _nearness(one: Calibration, setup: Setup, engine: str) -> tuple[bool, bool, bool, str]:
    return (
        one.tensor == setup.layout.tensor,
        one.engine == engine,
        one.parameters == setup.architecture.parameters.total,
        one.fitted,
    )
