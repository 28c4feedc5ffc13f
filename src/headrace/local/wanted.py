"""Which weights a fleet needs: its models, and the LoRA adapters of its deployments.

Engine twins need none. Each has a key in the lock file; `prepare.py` pulls them, `headrace weights
verify` reads them again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from headrace.fleet.types import Deployment, Fleet
from headrace.models.adapter import check_adapter
from headrace.models.config import check_folder
from headrace.models.lock import adapter_key


@dataclass(frozen=True)
class Wanted:
    """One set of weights: its key in the lock file, its source, the check of its folder."""

    key: str
    weights: str
    check: Callable[[Path], None]
    allow_pickle: bool = False


def wanted_weights(fleet: Fleet, deployment: str | None = None) -> Iterator[Wanted]:
    """Yield all weights, or one deployment's, but those that only engine twins stand in for."""
    for one in _all_weights(fleet):
        if deployment is None or one.key in _keys(fleet, deployment):
            yield one


def _keys(fleet: Fleet, deployment: str) -> set[str]:
    """Return the keys of a deployment's own weights: its model's and its adapters'."""
    own = fleet.deployments[deployment]
    return {own.model, *(adapter_key(deployment, alias) for alias in own.adapters)}


def _all_weights(fleet: Fleet) -> Iterator[Wanted]:
    twins = {one.model for one in fleet.deployments.values() if emulated(fleet, one)}
    real = {one.model for one in fleet.deployments.values() if not emulated(fleet, one)}
    for name, model in fleet.models.items():
        if name not in twins - real:
            yield Wanted(name, model.weights, check_folder, model.allow_pickle)
    for name, deployment in fleet.deployments.items():
        if not emulated(fleet, deployment):
            for alias, adapter in deployment.adapters.items():
                yield Wanted(adapter_key(name, alias), adapter.weights, check_adapter)


def emulated(fleet: Fleet, deployment: Deployment) -> bool:
    """Whether engine twins stand in for the deployment."""
    return fleet.hardware[deployment.hardware].kind == "emulated"
