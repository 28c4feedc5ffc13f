"""Measured efficiencies, kept beside the fleet file: plans rest on them, and reviews see them.

`headrace calibrate` adds one for each accelerator, engine version and layout kind; a plan takes the
one that is nearest to what it plans, and says which.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import msgspec

from headrace.capacity.efficiency import Efficiency
from headrace.capacity.setup import Setup
from headrace.models.architecture import Architecture
from headrace.models.lock import replace_file
from headrace.planning.errors import PlanError

UNSEEN = 0.2
"""Error for another run of the same: 19 % and 14 % on one machine (decision 11)."""
ELSEWHERE = 0.25
"""Error of a calibration for another model, layout or version: 22 % on the one run that was known
by its figures only (decision 11)."""


def titled(engine: str) -> str:
    """Write an engine as calibrations keep it for people; a version alone is vLLM's."""
    return engine if " " in engine else f"vLLM {engine}"


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


class _Wanted(NamedTuple):
    """What is planned: a model by its parameters, the engine, ranks (None: any)."""

    parameters: int
    engine: str
    tensor: int | None = None

    def others(self, one: Calibration) -> list[str]:
        """Return in what a calibration was of something else."""
        differences = {
            one.model: one.parameters != self.parameters,
            f"TP{one.tensor}": self.tensor not in (None, one.tensor),
            titled(one.engine): one.engine != self.engine,
        }
        return [name for name, differs in differences.items() if differs]

    def widened(self, one: Calibration) -> Efficiency:
        """Return its efficiency; with a wider error where it was measured on something else."""
        others = self.others(one)
        if not others:
            error = max(one.efficiency.error, UNSEEN)
            label = f"{one.efficiency.label} on that run, ±{error:.0%} on others"
            return replace(one.efficiency, error=error, label=label)
        error = max(one.efficiency.error, ELSEWHERE)
        label = f"{one.efficiency.label}, but of {' and '.join(others)}: ±{error:.0%}"
        return replace(one.efficiency, error=error, label=label)


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
            known = msgspec.json.decode(path.read_bytes(), type=tuple[Calibration, ...])
        except FileNotFoundError:
            return cls(path)
        except (OSError, msgspec.MsgspecError) as error:
            raise PlanError(
                f"{path}: {error}; take it from version control, or delete it and calibrate again"
            ) from error
        for one in known:
            _check(path, one)
        return cls(path, known)

    def find(self, setup: Setup, engine: str) -> Efficiency | None:
        """Return the efficiency measured nearest to `setup`, on its accelerator; else None."""
        wanted = _Wanted(setup.architecture.parameters.total, engine, setup.layout.tensor)
        return self._nearest(setup.accelerator.name, wanted)

    def everywhere(self, architecture: Architecture, engine: str) -> dict[str, Efficiency]:
        """Return the efficiencies measured nearest to a model, by accelerator."""
        wanted = _Wanted(architecture.parameters.total, engine)
        names = dict.fromkeys(one.accelerator for one in self.known)
        found = {name: self._nearest(name, wanted) for name in names}
        return {name: one for name, one in found.items() if one is not None}

    def _nearest(self, accelerator: str, wanted: _Wanted) -> Efficiency | None:
        same = [one for one in self.known if one.accelerator == accelerator]
        newest = sorted(same, key=lambda one: one.fitted, reverse=True)
        best = min(newest, key=lambda one: len(wanted.others(one)), default=None)
        return wanted.widened(best) if best else None

    def learned(self, new: Calibration) -> Calibrations:
        """Return them with `new` in the place of what it supersedes."""
        kept = [one for one in self.known if _subject(one) != _subject(new)]
        return Calibrations(self.path, (*kept, new))

    def write(self) -> None:
        """Write the file, one calibration after the other, for a review to read."""
        text = msgspec.json.format(msgspec.json.encode(list(self.known)), indent=2)
        try:
            replace_file(self.path, text + b"\n")
        except OSError as error:
            raise PlanError(f"{self.path}: {error.strerror or error}") from error


def _check(path: Path, one: Calibration) -> None:
    """Raise PlanError for an efficiency that cannot be: edited by hand, or badly merged."""
    found = one.efficiency
    shares = {"bandwidth": found.bandwidth, "compute": found.compute, "link": found.link}
    times = {
        "overhead": found.overhead,
        "per_sequence": found.per_sequence,
        "error": found.error,
    }
    wrong = [name for name, value in shares.items() if value <= 0]
    wrong += [name for name, value in times.items() if value < 0]
    if wrong:
        raise PlanError(
            f"{path}: {wrong[0]} of {one.accelerator}, {titled(one.engine)}, {one.model} cannot be"
            f" {(shares | times)[wrong[0]]}; take the file from version control, or calibrate again"
        )


def _subject(one: Calibration) -> tuple[str, str, str, int]:
    return one.accelerator, one.engine, one.model, one.tensor
