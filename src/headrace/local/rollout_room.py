"""Whether this machine has room for one replica more than now, as each step of a rollout needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from headrace.capacity.memory import replica_memory
from headrace.fleet.units import format_size
from headrace.hardware.machine import Machine
from headrace.local.blueprint import Blueprint
from headrace.local.preflight import Finding


def surge_findings(
    surges: Sequence[Blueprint],
    active: Mapping[str, int],
    machine: Machine,
    weights: Mapping[str, int],
) -> Iterator[Finding]:
    """Yield where no surge replica fits; `active` are replicas by deployment, `weights` bytes.

    What runs already is in the memory that is not available, so only one more counts.
    """
    for blueprint in surges:
        if blueprint.hardware.kind == "cpu":
            yield from _memory(blueprint, machine.memory_available, weights)
        elif blueprint.hardware.kind == "gpu":
            yield from _devices(blueprint, active.get(blueprint.name, 0))


def _memory(blueprint: Blueprint, available: int, weights: Mapping[str, int]) -> Iterator[Finding]:
    deployment = blueprint.deployment
    needed = replica_memory(
        weights.get(deployment.model, 0), deployment.kv_cache or 0, deployment.tensor_parallel
    )
    if needed > available:
        message = (
            f"a rollout starts one replica beside those that serve; it needs {format_size(needed)} "
            f"of memory and {format_size(available)} are available; lower kv_cache, or stop one "
            f"with `headrace scale {blueprint.name} N`"
        )
        yield ("deployments", blueprint.name), message


def _devices(blueprint: Blueprint, active: int) -> Iterator[Finding]:
    each, have = blueprint.deployment.accelerators, len(blueprint.devices)
    if (active + 1) * each > have:
        message = (
            f"a rollout starts one replica beside the {active} that serve; {active + 1} of {each} "
            f"GPUs need {(active + 1) * each} and this machine has {have}; stop one with "
            f"`headrace scale {blueprint.name} N`"
        )
        yield ("deployments", blueprint.name), message
