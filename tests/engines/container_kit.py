"""What the tests of containers share: a deployment, hardware with GPUs, a place in a cluster."""

from typing import Any

from headrace.engines.container import Container, Spot
from headrace.engines.named import engine_named
from headrace.fleet.types import Deployment, EngineName, Hardware

GPU = Hardware(kind="gpu")
NODES = Hardware(kind="gpu", nodes=2, per_node=8)
SPOT = Spot("/models/llama", ("chat", "llama"))


def deployment(**fields: Any) -> Deployment:
    return Deployment.model_validate({"model": "m", "hardware": "h", **fields})


def container(
    name: EngineName, version: str, spot: Spot = SPOT, hardware: Hardware = GPU, **fields: Any
) -> Container:
    return engine_named(name, version).container(deployment(**fields), hardware, spot)


def problems(
    name: EngineName, version: str, hardware: Hardware = GPU, **fields: Any
) -> dict[str, str]:
    found = engine_named(name, version).problems(deployment(**fields), hardware)
    return {".".join(map(str, path)): message for path, message in found}


def given(made: Container) -> dict[str, str]:
    """Flags and their values, '' for a switch; of several values the first."""
    flags: dict[str, str] = {}
    for at, part in enumerate(made.args):
        if part.startswith("--"):
            value = made.args[at + 1] if at + 1 < len(made.args) else ""
            flags[part] = "" if value.startswith("--") else value
    return flags
