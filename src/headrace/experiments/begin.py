"""From what a person names to a lab: a fleet file, a running fleet, or anybody's address."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from headrace.bench.target import Target
from headrace.evidence.deployment import fingerprint
from headrace.experiments.case import Case
from headrace.experiments.errors import ExperimentError
from headrace.experiments.lab import Lab
from headrace.fleet.check_routes import own_deployments
from headrace.fleet.load import FleetFile
from headrace.fleet.problems import nearest
from headrace.fleet.routes import Slo
from headrace.fleet.types import Fleet
from headrace.local.metrics_pages import following, metrics_pages
from headrace.local.state import StateDir
from headrace.models.store import pulled
from headrace.planning.errors import PlanError
from headrace.routing.from_fleet import served_names
from headrace.view.states import State
from headrace.view.status import FleetStatus

KEY = "HEADRACE_KEY"
"""Environment variable with an API key, for an endpoint that asks for one."""


@dataclass(frozen=True)
class Voice:
    """`tell` hears lines that stay, `doing` what goes on just now."""

    tell: Callable[[str], None]
    doing: Callable[[str], None]


def lab_for_file(file: FleetFile, deployment: str | None, folder: Path, voice: Voice) -> Lab:
    """Return a lab for copies of a deployment; `file` must leave nothing open."""
    name = chosen(file, deployment)
    weights = pulled(file.path, file.fleet.deployments[name].model)
    return Lab(case_of(file, name), folder, voice.tell, voice.doing, file, weights)


def lab_for_running(
    file: FleetFile,
    up: tuple[StateDir, FleetStatus],
    deployment: str | None,
    folder: Path,
    voice: Voice,
) -> Lab:
    """Return a lab that sends its load to a fleet that is up, and may start copies beside it.

    Its replicas may come and go meanwhile: the fleet is asked which metrics pages there are.
    """
    state, status = up
    lab = lab_for_file(file, deployment, folder, voice)
    lab.standing = standing(file, status, lab.case.deployment)
    lab.listing = following(state, _only(file, lab.case.deployment), ())
    return lab


def lab_for_address(address: str, model: str, folder: Path, voice: Voice) -> Lab:
    """Return a lab for an endpoint of others, where nothing can be changed."""
    case = Case(deployment=model, model=model, address=address)
    where = Target(address=address.rstrip("/"), model=model, key=os.environ.get(KEY))
    return Lab(case, folder, voice.tell, voice.doing, standing=where)


def chosen(file: FleetFile, deployment: str | None) -> str:
    """Return the deployment that is meant; ExperimentError if that is none or unclear."""
    known = file.fleet.deployments
    if deployment is None:
        if len(known) == 1:
            return next(iter(known))
        raise ExperimentError(
            f"{file.path} has {len(known)} deployments; name one with --deployment:"
            f" {', '.join(known)}"
        )
    if deployment not in known:
        raise ExperimentError(
            f"{file.path} has no deployment '{deployment}'{nearest(deployment, known)}"
        )
    return deployment


def case_of(file: FleetFile, name: str) -> Case:
    """Return what a conclusion may know of a deployment."""
    deployment = file.fleet.deployments[name]
    engine, found = deployment.engine, fingerprint(file, name)
    promised = [route.slo for route in file.fleet.routes.values() if name in own_deployments(route)]
    return Case(
        deployment=name,
        model=served_names(file.fleet, name)[0],
        engine=f"{engine.name} {engine.version}",
        hardware=str(found.hardware),
        ttft=_strictest(promised, "ttft"),
        tpot=_strictest(promised, "tpot"),
        hourly=_hourly(file, name),
        max_num_seqs=deployment.max_num_seqs,
        max_model_len=deployment.max_model_len,
        emulated=found.emulated,
    )


def standing(file: FleetFile, status: FleetStatus, name: str) -> Target:
    """Return the address of a running fleet, with the metrics pages of one deployment."""
    return Target(
        address=status.address,
        model=served_names(file.fleet, name)[0],
        key=os.environ.get(KEY),
        scrape=tuple(metrics_pages(status, _only(file, name), (State.READY,))),
    )


def _only(file: FleetFile, name: str) -> Fleet:
    """Return the fleet as if it had this deployment alone: others' metrics are not of it."""
    own = {name: file.fleet.deployments[name]}
    return file.fleet.model_copy(update={"deployments": own})


def _strictest(slos: list[Slo], field: str) -> float | None:
    given = [value for slo in slos if (value := getattr(slo, field)) is not None]
    return min(given, default=None)


def _hourly(file: FleetFile, name: str) -> float | None:
    """Return the price of a replica's hour: the file's, else an example of its product's."""
    from headrace.planning.places import place_of  # noqa: PLC0415 - spares others numpy

    deployment = file.fleet.deployments[name]
    hardware = file.fleet.hardware[deployment.hardware]
    if hardware.hourly_price is not None:  # of a GPU, or of the machine whose CPU all ranks share
        ranks = 1 if hardware.kind == "cpu" else deployment.accelerators
        return hardware.hourly_price * ranks
    if hardware.kind == "cpu":
        return None
    try:
        place = place_of(deployment.hardware, hardware)
    except PlanError:
        return None
    return place.price * deployment.accelerators or None
