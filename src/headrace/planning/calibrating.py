"""From a measured run to an efficiency beside the fleet file, and how far off a plan is for a run.

The arithmetic is `capacity/calibration.py`; here a deployment of a file says what the run was of.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

from headrace.capacity.calibration import calibrate, compare
from headrace.capacity.kv_pool import Pool
from headrace.capacity.served import Served
from headrace.fleet.load import FleetFile
from headrace.planning.auto import settle
from headrace.planning.calibrations import Calibration, titled
from headrace.planning.errors import PlanError
from headrace.planning.runs import load_run
from headrace.planning.subject import Subject, subject


def learn(file: FleetFile, deployment: str, path: Path, today: date) -> tuple[Path, Calibration]:
    """Fit to a run of one replica of a deployment, and keep it; return where, and what."""
    about, run = _subject(file, deployment), load_run(path)
    _check_lengths(about, run)
    what = f"{about.place.accelerator.name}, {titled(about.engine)}, {about.deployment.model}"
    efficiency = calibrate(run, about.setup, Pool.of(about.fit.cache), what)
    learned = Calibration(
        accelerator=about.place.accelerator.name,
        engine=about.engine,
        model=about.deployment.model,
        parameters=about.architecture.parameters.total,
        tensor=about.setup.layout.tensor,
        run=path.name,
        requests=run.traffic.count,
        fitted=today.isoformat(),
        efficiency=efficiency,
    )
    kept = about.calibrations.learned(learned)
    kept.write()
    return kept.path, learned


def check(file: FleetFile, deployment: str, path: Path) -> str:
    """Say how far off what the plan rests on is for a run, in a sentence."""
    about, run = _subject(file, deployment), load_run(path)
    _check_lengths(about, run)
    found = compare(run, about.setup, Pool.of(about.fit.cache), about.efficiency)
    name, worst = found.worst()
    return (
        f"{about.efficiency.label}: off by {found.error:.1%} on average for the"
        f" {run.traffic.count} requests of {path}, most in {name} ({worst:+.1%})"
    )


def _subject(file: FleetFile, deployment: str) -> Subject:
    return settle(subject(file, deployment))[0]


def _check_lengths(about: Subject, run: Served) -> None:
    longest = int(run.traffic.totals.max())
    if longest > about.setup.max_model_len:
        raise PlanError(
            f"{run.traffic.source}: a request has {longest:,} tokens, more than max_model_len"
            f" {about.setup.max_model_len:,} of {about.name}; give the flags that the run was of"
        )
