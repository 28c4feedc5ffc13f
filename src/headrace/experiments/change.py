"""What is different in a copy of a deployment, and the fleet file that says so.

The copy has the user's deployment, model and hardware as the file writes them, without LoRA
adapters; one route that leads to it, and addresses that the system chooses. `copies.py` starts it.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from headrace.fleet.load import FleetFile
from headrace.routing.from_fleet import served_names

ROUTE = "copy"
_QUEUE = {"limit": 100_000, "max_wait": "30m"}
"""An experiment's own load decides how many wait, not the copy's queue."""
_LIFECYCLE = {"drain": "5s", "grace": "20s"}
"""Nobody but the experiment is waiting for an answer."""


@dataclass(frozen=True)
class Change:
    """What a copy has that the deployment has not; by default nothing.

    `fields` are of the deployment, with dots between the parts, as `max_model_len` or
    `engine.flags.enable-prefix-caching`; None takes one out. `weights` replaces the model's,
    `hardware` are fields of its hardware, `replicas` how many there are, from beginning to end.
    """

    label: str = "as it is"
    fields: Mapping[str, Any] = field(default_factory=dict)
    hardware: Mapping[str, Any] = field(default_factory=dict)
    weights: str | None = None
    replicas: int = 1


AS_IT_IS = Change()


def copied(file: FleetFile, deployment: str, change: Change) -> dict[str, Any]:
    """Return the data of a fleet file with a copy of one deployment, changed.

    `file` must leave nothing open (`planning.settled`), as the copy has no traffic to plan from.
    """
    theirs, typed = file.document.data, file.fleet.deployments[deployment]
    alias = served_names(file.fleet, deployment)[0]
    own = deepcopy(theirs["deployments"][deployment])
    for name in own:
        if own[name] == "auto":
            own[name] = _written(name, getattr(typed, name))
    own.pop("adapters", None)
    own["scaling"] = {"min": change.replicas, "max": change.replicas, "initial": change.replicas}
    own["queue"] = dict(_QUEUE)
    own["lifecycle"] = {**own.get("lifecycle", {}), **_LIFECYCLE}
    for path, value in change.fields.items():
        put(own, path, value)
    model = deepcopy(theirs["models"][typed.model])
    if change.weights is not None:
        model["weights"] = change.weights
    hardware = deepcopy(theirs["hardware"][typed.hardware])
    for path, value in change.hardware.items():
        put(hardware, path, value)
    return {
        "fleet": "c",  # short, as it is in the path of a socket
        "models": {typed.model: model},
        "hardware": {typed.hardware: hardware},
        "deployments": {deployment: own},
        "routes": {ROUTE: {"match": {"model": [alias]}, "deployment": deployment}},
        "gateway": {"host": "127.0.0.1", "port": 0, "admin_port": 0},
    }


def put(data: dict[str, Any], path: str, value: Any) -> None:
    """Set a field by its path with dots; None takes it out."""
    *above, last = path.split(".")
    for part in above:
        data = data.setdefault(part, {})
    if value is None:
        data.pop(last, None)
    else:
        data[last] = value


def _written(name: str, value: Any) -> Any:
    """Write what the plan chose as a fleet file would."""
    return f"{value}B" if name == "kv_cache" and value is not None else value
