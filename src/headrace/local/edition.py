"""A fleet file together with what replicas are started from: what a rollout goes from and to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from headrace.fleet.load import FleetFile
from headrace.fleet.routes import Slo
from headrace.local.blueprint import Blueprint
from headrace.routing.from_fleet import routes_of


@dataclass(frozen=True)
class Edition:
    """A fleet file that is ready to be served: one blueprint for each of its deployments."""

    file: FleetFile
    blueprints: tuple[Blueprint, ...]

    @property
    def path(self) -> Path:
        """The file's absolute path: whoever asks later may be in another folder."""
        return self.file.path.absolute()

    @property
    def by_name(self) -> dict[str, Blueprint]:
        """The blueprints by their deployment's name."""
        return {one.name: one for one in self.blueprints}

    def slo(self, deployment: str) -> Slo:
        """Return the strictest promise of all routes to a deployment, in seconds."""
        slos = [r.slo for r in routes_of(self.file.fleet) if deployment in r.deployments]
        strictest = {
            "ttft": min((slo.ttft for slo in slos if slo.ttft is not None), default=None),
            "tpot": min((slo.tpot for slo in slos if slo.tpot is not None), default=None),
        }
        return Slo().model_copy(update=strictest)  # seconds already: Slo() itself reads text
