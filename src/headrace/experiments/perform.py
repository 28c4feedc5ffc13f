"""Runs an experiment to its end, or to Ctrl-C, and concludes from what was measured until then."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from headrace.experiments.case import Case
from headrace.experiments.errors import ExperimentError, StoppedError
from headrace.experiments.experiment import Experiment
from headrace.experiments.finding import FINDING, Conclusion, Finding
from headrace.experiments.lab import Lab

TWIN = (
    "an engine twin answered: the figures show that the experiment works, not what an engine does"
)
STOPPED = "it was stopped early, so the figures are those of the part that was measured"


async def perform(experiment: Experiment[Any, Any], lab: Lab, settings: msgspec.Struct) -> Finding:
    """Measure and conclude; StoppedError if nothing was measured before somebody stopped it.

    ExperimentError, before anything begins, if the lab's folder holds an experiment, or cannot be
    written.
    """
    _make(lab.folder)
    began, clock = datetime.now(UTC), time.monotonic()
    points: list[Any] = []
    try:
        interrupted = await _measured(experiment, lab, settings, points)
    finally:
        with suppress(OSError):
            lab.folder.rmdir()  # if nothing came into it
    if not points:
        raise StoppedError("it was stopped before anything was measured")
    case = msgspec.structs.replace(
        lab.case, interrupted=interrupted, settings=msgspec.to_builtins(settings)
    )
    return Finding(
        name=experiment.name,
        question=experiment.question,
        case=case,
        conclusion=concluded(experiment, points, case, list(lab.beside)),
        began=began.isoformat(timespec="seconds"),
        seconds=time.monotonic() - clock,
        points=tuple(points),
        runs=tuple(lab.runs),
    )


def _make(folder: Path) -> None:
    if (folder / FINDING).exists():
        raise ExperimentError(f"{folder} holds an experiment already; give another folder (--out)")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ExperimentError(f"{folder} cannot be written: {error.strerror}") from error


def concluded(
    experiment: Experiment[Any, Any], points: Sequence[Any], case: Case, beside: Sequence[str] = ()
) -> Conclusion:
    """Return the conclusion with the doubts that hold for any experiment.

    `beside` are the files of fleets that were up on the same machine.
    """
    made = experiment.conclude(points, case)
    shared = f"{', '.join(beside)} was up on the same machine: what it did meanwhile is in this"
    first = (STOPPED,) if case.interrupted else ()  # it is why the result is not valid
    general = ((TWIN, case.emulated), (shared, bool(beside)))
    doubts = (*first, *made.doubts, *(doubt for doubt, there in general if there))
    return msgspec.structs.replace(made, doubts=doubts)


async def _measured(
    experiment: Experiment[Any, Any], lab: Lab, settings: msgspec.Struct, points: list[Any]
) -> bool:
    """Measure into `points`; return whether somebody stopped it, with all copies ended."""
    try:
        await experiment.measure(lab, settings, points)
    except asyncio.CancelledError:
        task = asyncio.current_task()
        while task is not None and task.cancelling():  # once for each Ctrl-C
            task.uncancel()
        return True
    return False
