"""What the settings of a deployment rest on: results beside the fleet file against the file now.

`evidence/standing.py` decides; here a file says what its deployment is. `explain` and the pages of
`plan` cite it, `preflight` warns by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path

from msgspec.structs import replace as replace_fields

from headrace.engines.vllm_flags import canonical
from headrace.evidence.deployment import FIELDS, fingerprint_of
from headrace.evidence.fingerprint import Fingerprint
from headrace.evidence.result import Evidence
from headrace.evidence.standing import Standing, standings, why_stale
from headrace.evidence.store import Known, load
from headrace.fleet.load import FleetFile
from headrace.fleet.types import Deployment, Scalar
from headrace.fleet.units import format_duration
from headrace.hardware.machine import read_machine
from headrace.models.lock import LockEntry, lock_path, read_lock


@dataclass(frozen=True)
class Beside:
    """What lies beside a fleet file: read when first asked for, once for all its deployments."""

    path: Path

    @cached_property
    def known(self) -> Known:
        """All results."""
        return load(self.path)

    @cached_property
    def lock(self) -> Mapping[str, LockEntry]:
        """The entries of the lock file; LockError if it is damaged."""
        return read_lock(lock_path(self.path))


@dataclass(frozen=True)
class Grounds:
    """A deployment with nothing open, and what lies beside its file.

    `planned` are the settings that the plan chose. `here`: a CPU is this machine's; otherwise any
    CPU will do, for a look at files alone.
    """

    file: FleetFile
    name: str
    deployment: Deployment
    beside: Beside
    planned: frozenset[str] = frozenset()
    here: bool = True

    @cached_property
    def known(self) -> Known:
        """All results; those of CPUs that are not told apart where `here` is False."""
        found = self.beside.known
        if self.here:
            return found
        return replace(found, results=tuple(_anywhere(one) for one in found.results))

    @cached_property
    def fingerprint(self) -> Fingerprint:
        """The deployment's now, without a workload; LockError if the lock file is damaged."""
        fleet = self.file.fleet
        filled = fleet.model_copy(
            update={"deployments": fleet.deployments | {self.name: self.deployment}}
        )
        machine = read_machine() if self.here else None
        made = fingerprint_of(filled, self.name, self.beside.lock, machine)
        return made if self.here else made.anywhere()

    @cached_property
    def standings(self) -> dict[str, Standing]:
        """What each of its settings rests on, by the setting's name."""
        found = standings(
            self.fingerprint,
            settings(self.deployment),
            self.known.results,
            deployment=self.name,
            today=today(),
            planned=self.planned,
        )
        return {one.setting: one for one in found}

    def why_stale(self, one: Evidence) -> tuple[str, ...]:
        """Return why a result does not hold for the deployment now; nothing: it does."""
        return why_stale(one, self.fingerprint, today())


def _anywhere(one: Evidence) -> Evidence:
    variants = (replace_fields(it, fingerprint=it.fingerprint.anywhere()) for it in one.variants)
    return replace_fields(one, variants=tuple(variants))


def settings(deployment: Deployment) -> dict[str, Scalar | None]:
    """Return what results may speak of, by the name that supports have for it.

    Times are written as a fleet file writes them.
    """
    flags = {f"engine.flags.{canonical(k)}": v for k, v in deployment.engine.flags.items()}
    scaling = deployment.scaling
    lifecycle = {
        f"lifecycle.{name}": format_duration(getattr(deployment.lifecycle, name))
        for name in ("startup", "drain", "grace")
    }
    return {
        **{field: getattr(deployment, field) for field in FIELDS},
        "quantization": deployment.quantization,
        **flags,
        **lifecycle,
        "scaling.min": scaling.min,
        "scaling.max": scaling.max,
    }


def today() -> date:
    """Return the day, in UTC as results have it."""
    return datetime.now(UTC).date()
