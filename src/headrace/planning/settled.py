"""A fleet file with nothing left open: what every runtime starts replicas from.

`headrace up`, `rollout` and `reload` settle a file in the same way, so that the same file means the
same replicas; `headrace explain` says why each value was chosen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from headrace.fleet.load import FleetFile, raise_problems
from headrace.fleet.types import Deployment
from headrace.models.errors import WeightsError
from headrace.planning.errors import PlanError
from headrace.starts.ledger import Ledger, of_fleet

if TYPE_CHECKING:
    from headrace.planning.flags import Flag


@dataclass(frozen=True)
class Settled:
    """The file with all values, and those that the plan chose, by deployment."""

    file: FleetFile
    chosen: dict[str, tuple[Flag, ...]] = field(default_factory=dict)

    def lines(self) -> Iterator[str]:
        """Yield what was chosen, a line for each flag."""
        for name, flags in self.chosen.items():
            for flag in flags:
                yield f"{name}.{flag.name} = {flag.written}: {flag.brief}"


def settled(file: FleetFile) -> Settled:
    """Return the file with what it leaves open chosen; FleetError names what cannot be.

    Models are read from their pulled weights, else from the catalogue, so settle after pulling.
    """
    known = file.fleet.deployments
    if not any(one.open for one in known.values()):
        return Settled(file)
    starts = of_fleet(file.fleet.fleet, file.path)
    found = {name: _settle(file, name, starts) for name, one in known.items() if one.open}
    deployments = known | {name: deployment for name, (deployment, _) in found.items()}
    fleet = file.fleet.model_copy(update={"deployments": deployments})
    return Settled(replace(file, fleet=fleet), {name: flags for name, (_, flags) in found.items()})


def _settle(file: FleetFile, name: str, starts: Ledger) -> tuple[Deployment, tuple[Flag, ...]]:
    from headrace.planning.auto import settle  # noqa: PLC0415 - numpy only where something is open
    from headrace.planning.subject import subject  # noqa: PLC0415 - as above

    try:
        made, flags = settle(subject(file, name, starts=starts))
    except (PlanError, WeightsError) as error:
        open_ = sorted(file.fleet.deployments[name].open)
        raise_problems([file.problem(("deployments", name, open_[0]), f"auto: {error}")])
        raise
    return made.deployment, flags
