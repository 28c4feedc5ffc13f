"""The weights of the deployment that is experimented on, pulled if they are not here yet."""

from __future__ import annotations

from pathlib import Path

from headrace.experiments.errors import ExperimentError
from headrace.experiments.lab import Lab
from headrace.local.prepare import prepare_weights
from headrace.models.progress import Progress


def weights_folder(lab: Lab) -> Path:
    """Return the model's folder; ExperimentError without a fleet file, WeightsError."""
    if lab.file is None:
        raise ExperimentError("this needs the model's weights, so it needs a fleet file")
    if lab.weights is None:
        model = lab.file.fleet.deployments[lab.case.deployment].model
        said = prepare_weights(lab.file, lambda now: lab.doing(words(now)), lab.case.deployment)
        lab.weights = said[model]
    return lab.weights


def words(progress: Progress) -> str:
    """Say how far a long step is."""
    share = f" {progress.done / progress.total:.0%}" if progress.total else ""
    return f"{progress.step} {progress.item}{share}"
