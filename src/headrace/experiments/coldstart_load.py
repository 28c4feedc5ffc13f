"""Starts copies of a deployment, one after the other, with the page cache as it is or emptied.

A copy starts as `headrace up` starts the user's fleet, so its phases are those of a real start.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import Annotated

import msgspec

from headrace.experiments.coldstart import Cache, Point, Rules
from headrace.experiments.copies import Copy
from headrace.experiments.lab import Lab
from headrace.fleet.types import Deployment
from headrace.hardware.page_cache import files_below, let_go, resident
from headrace.local.prepare import prepare_engines
from headrace.starts import ledger
from headrace.starts.start import Start

_WRITTEN, _LOOK = 5.0, 0.05
"""Seconds to wait for the record of a start, and between two looks."""
Starts = Annotated[int, msgspec.Meta(ge=0, le=1000)]
"""How many, or none."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """So many starts with a warm page cache, and with one that has let go of model and engine."""

    warm: Starts = 3
    emptied: Starts = 2


async def measure(lab: Lab, settings: Settings, points: list[Point]) -> None:
    """Start it once as it was found, then in turns."""
    folders = _folders(lab)
    emptied = settings.emptied if folders else 0
    if not folders:
        lab.tell("an engine twin reads nothing from the disk, so its page cache is left alone")
    for cache in order(settings.warm, emptied):
        if cache is Cache.EMPTIED:
            gone = let_go(files_below(folders))
            lab.tell(f"taking {gone / 1e9:.1f} GB out of the page cache")
        share = resident(files_below(folders[:1]))
        async with lab.copy() as copy:
            points.append(_point(lab, copy, cache, share))
            await _record(lab, copy)


def _point(lab: Lab, copy: Copy, cache: Cache, share: float | None) -> Point:
    return Point(
        cache=cache,
        phases={one.name: one.seconds for one in copy.replicas[0].phases},
        whole=copy.started,
        resident=share,
        rules=_rules(lab),
    )


async def _record(lab: Lab, copy: Copy) -> None:
    """Add the start to the fleet's own ledger: it was one of this deployment on this machine."""
    if lab.file is None:
        return
    try:
        ledger.merge(
            ledger.running_path(lab.file.fleet.fleet, lab.file.path), await _recorded(copy)
        )
    except (OSError, ValueError) as error:
        lab.tell(f"the start is not added to the fleet's ledger: {error}")


async def _recorded(copy: Copy) -> Sequence[Start]:
    """Return the copy's starts; they are written a moment after it got ready."""
    deadline = monotonic() + _WRITTEN
    while True:
        found = ledger.read(copy.state.starts).starts
        if len(found) >= len(copy.replicas) or monotonic() > deadline:
            return found
        await asyncio.sleep(_LOOK)


def order(warm: int, emptied: int) -> list[Cache]:
    """Return the starts: the first as it was found, then warm and emptied ones in turns."""
    rest = [Cache.WARM] * warm, [Cache.EMPTIED] * emptied
    mixed = [one for pair in zip(*rest, strict=False) for one in pair]
    left = min(warm, emptied)
    return [Cache.FIRST, *mixed, *rest[0][left:], *rest[1][left:]]


def _folders(lab: Lab) -> list[Path]:
    """Return the folders that a start reads: the weights, then the engine; none of a twin."""
    if lab.file is None or lab.case.emulated:
        return []
    python = prepare_engines(lab.file, lab.doing).get(lab.case.deployment)
    return [lab.folder_of_weights(), *([python.parent.parent / "lib"] if python else [])]


def _rules(lab: Lab) -> Rules | None:
    if lab.file is None:
        return None
    return rules_of(lab.file.fleet.deployments[lab.case.deployment])


def rules_of(deployment: Deployment) -> Rules:
    """Return what a deployment's file says of starts.

    From zero it wakes at once; beyond that a sync has to see the need, for the whole window.
    """
    scaling = deployment.scaling
    look = max(scaling.sync_period, scaling.up.window or 0.0)
    return Rules(limit=deployment.lifecycle.startup, look=look, floor=scaling.min)
