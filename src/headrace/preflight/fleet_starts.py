"""Time limits of a fleet file against the starts that were recorded of its deployments."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from headrace.fleet.types import Deployment
from headrace.fleet.units import format_duration
from headrace.starts.summary import Spread, Summary

ENOUGH = 2
"""Starts from which a limit is judged: one may have been a machine's bad day."""


def too_short(
    name: str, deployment: Deployment, known: Iterable[Summary]
) -> Iterator[tuple[str, str]]:
    """Yield (field, sentence) for each limit below what starts took; `known` are the fleet's."""
    lead = _lead(name, deployment, known)
    if lead is None:
        return
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


def _lead(name: str, deployment: Deployment, known: Iterable[Summary]) -> Spread | None:
    """Return what real starts of a deployment's engine, in its version, took to be ready."""
    wanted = (name, deployment.engine.name, deployment.engine.version, False)
    for one in known:
        of = one.subject
        same = (of.deployment, of.engine, of.version, of.emulated) == wanted
        if same and one.lead is not None and one.lead.count >= ENOUGH:
            return one.lead
    return None
