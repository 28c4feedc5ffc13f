"""Time limits of a fleet file against the starts that were recorded of its deployments."""

from __future__ import annotations

from collections.abc import Iterator

from headrace.fleet.load import FleetFile
from headrace.fleet.units import format_duration
from headrace.starts.ledger import of_fleet
from headrace.starts.summary import Spread, summaries

ENOUGH = 2
"""Starts from which a limit is judged: one may have been a machine's bad day."""


def too_short(file: FleetFile, name: str) -> Iterator[tuple[str, str]]:
    """Yield (field, sentence) for each limit below what starts took, here or kept beside it."""
    lead = _lead(file, name)
    if lead is None:
        return
    deployment = file.fleet.deployments[name]
    seen = f"of {lead.count} starts one took {lead.longest:.0f} s, nine of ten {lead.p90:.0f} s"
    startup = deployment.lifecycle.startup
    if startup < lead.longest:
        yield "lifecycle.startup", f"{format_duration(startup)} to start; {seen}"
    if deployment.scaling.min == 0:
        wait, cooldown = deployment.queue.max_wait, deployment.scaling.cooldown
        if wait < lead.p90:
            yield "queue.max_wait", f"a request that wakes it waits {format_duration(wait)}; {seen}"
        if cooldown < lead.p50:
            rests = f"it rests after {format_duration(cooldown)} without work"
            yield "scaling.cooldown", f"{rests}, sooner than it starts; {seen}"


def _lead(file: FleetFile, name: str) -> Spread | None:
    """Return what real starts of a deployment's engine, in its version, took to be ready."""
    deployment = file.fleet.deployments[name]
    wanted = (name, deployment.engine.name, deployment.engine.version, False)
    for one in summaries(of_fleet(file.fleet.fleet, file.path).starts):
        of = one.subject
        same = (of.deployment, of.engine, of.version, of.emulated) == wanted
        if same and one.lead is not None and one.lead.count >= ENOUGH:
            return one.lead
    return None
