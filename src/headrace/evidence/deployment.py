"""The fingerprint of a deployment as its fleet file has it, or of an endpoint that is not ours."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version as installed
from typing import Any

from headrace.engines.vllm_flags import canonical
from headrace.evidence.fingerprint import Fingerprint, Hardware, flag_values
from headrace.fleet.load import FleetFile
from headrace.fleet.types import Deployment, Fleet
from headrace.fleet.types import Hardware as Declared
from headrace.fleet.units import format_duration
from headrace.hardware.catalogue import UnknownAcceleratorError, find_accelerator
from headrace.hardware.machine import Machine, read_machine
from headrace.models.lock import LockEntry, adapter_key, lock_path, read_lock

FIELDS = (
    "max_model_len", "max_num_seqs", "max_num_batched_tokens", "kv_cache",
    "gpu_memory_utilization", "tensor_parallel", "pipeline_parallel",
)  # fmt: skip
"""Of a deployment: those that decide how it performs and are no part of the engine's own flags."""


def fingerprint(
    file: FleetFile, name: str, workload: Mapping[str, Any] | None = None
) -> Fingerprint:
    """Return a deployment's on this machine; LockError if the lock file is damaged.

    The file should be settled (`planning.settled`): a flag that is left open is `auto` here.
    """
    locked = read_lock(lock_path(file.path))
    return fingerprint_of(file.fleet, name, locked, read_machine(), workload)


def fingerprint_of(
    fleet: Fleet,
    name: str,
    locked: Mapping[str, LockEntry],
    machine: Machine | None = None,
    workload: Mapping[str, Any] | None = None,
) -> Fingerprint:
    """Return a deployment's; without a machine nothing is said of its CPU."""
    deployment = fleet.deployments[name]
    entry = locked.get(deployment.model)
    declared = fleet.hardware[deployment.hardware]
    return Fingerprint(
        model=deployment.model,
        weights=fleet.models[deployment.model].weights,
        checksum=entry.digest if entry and declared.kind != "emulated" else None,
        quantization=deployment.quantization,
        engine=deployment.engine.name,
        version=deployment.engine.version,
        flags=_flags(name, deployment, locked),
        hardware=_hardware(deployment, declared, machine),
        headrace=installed("headrace"),
        workload=flag_values(workload or {}),
    )


def endpoint_fingerprint(model: str, workload: Mapping[str, Any] | None = None) -> Fingerprint:
    """Return that of an endpoint somebody else runs: nothing is known but the model's name."""
    return Fingerprint(
        model=model, headrace=installed("headrace"), workload=flag_values(workload or {})
    )


def _flags(name: str, deployment: Deployment, locked: Mapping[str, LockEntry]) -> dict[str, Any]:
    fields = {
        field: "auto" if field in deployment.open else getattr(deployment, field)
        for field in FIELDS
    }
    engine = deployment.engine
    adapters = {
        f"adapters.{alias}": entry.digest if entry else adapter.weights
        for alias, adapter in deployment.adapters.items()
        for entry in [locked.get(adapter_key(name, alias))]
    }
    return flag_values(
        fields
        | {f"engine.flags.{canonical(flag)}": value for flag, value in engine.flags.items()}
        | {f"engine.env.{variable}": value for variable, value in engine.env.items()}
        | {"engine.image": engine.image}
        | adapters
    )


def _hardware(deployment: Deployment, declared: Declared, machine: Machine | None) -> Hardware:
    if declared.kind == "cpu":
        return _cpu(declared, machine)
    return Hardware(
        kind=declared.kind,
        name=_product(declared),
        count=deployment.accelerators,
        pace=_pace(declared) if declared.kind == "emulated" else "",
    )


def _cpu(declared: Declared, machine: Machine | None) -> Hardware:
    if machine is None:
        return Hardware(kind="cpu", cores=declared.cores)
    from headrace.hardware.measure_cpu import cpu_model  # noqa: PLC0415 - spares others numpy

    return Hardware(
        kind="cpu",
        name=cpu_model(),
        cores=float(declared.cores or machine.core_quota),
        memory=round(machine.memory_total / 2**30) * 2**30,
    )


def _product(declared: Declared) -> str:
    """Return the product's one name, however the file spells it."""
    try:
        return find_accelerator(declared.product).name if declared.product else "unnamed"
    except UnknownAcceleratorError:
        return declared.product or "unnamed"


def _pace(declared: Declared) -> str:
    times = ("ttft", "tpot", "prefill", "start")
    said = [f"{name} {format_duration(getattr(declared, name))}" for name in times]
    return ", ".join((*said, f"{declared.kv_tokens} KV tokens"))
