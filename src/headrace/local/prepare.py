"""What must be on this machine before a fleet can start: verified weights, engines, a free place.

`headrace prepare` stops after this; `up.py` goes on with the blueprints made here.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from headrace.capacity.memory import replica_memory
from headrace.engines.base import LocalEngine, LoraAdapter
from headrace.engines.emulated import Emulated
from headrace.engines.environment import requirements
from headrace.engines.named import engine_named
from headrace.engines.vllm import Vllm, embeds
from headrace.fleet.load import FleetFile
from headrace.fleet.source import parse_source
from headrace.fleet.types import Deployment, Hardware, KnownPrompt
from headrace.hardware.machine import Machine
from headrace.local.blueprint import Blueprint
from headrace.local.environment import Say, ensure_environment
from headrace.local.errors import setting_up
from headrace.local.preflight import Finding, Need, device_findings, memory_findings
from headrace.local.wanted import Wanted, emulated, wanted_weights
from headrace.models.adapter import adapter_rank
from headrace.models.cache import cache_root, weights_root
from headrace.models.lock import LockEntry, adapter_key, lock_path, read_lock, update_lock
from headrace.models.progress import Listener
from headrace.models.pull import PullResult, pull
from headrace.models.store import Store
from headrace.routing.from_fleet import aliases

_NO_WEIGHTS = Path("/nowhere")
"""Where the weights of a twin are."""
_TWIN_RANK = 8
_ONLY_IN_A_CLUSTER = (
    "runs on Kubernetes only; on this machine use vllm, or twins of it (hardware of kind emulated)"
)


Took = Callable[[str, float, bool], None]
"""Told of each set of weights: its lock key, seconds until it was there, whether it was fetched."""


def prepare_weights(
    file: FleetFile,
    progress: Listener,
    deployment: str | None = None,
    took: Took = lambda _key, _seconds, _fetched: None,
) -> dict[str, Path]:
    """Return the folders of weights by lock key, pulled if need be, checked against the lock.

    Models go by their name, adapters by `adapter_key`. What only engine twins stand in for has no
    folder. Raises WeightsError, SetUpInterruptedError.
    """
    store, locked = Store(weights_root()), read_lock(lock_path(file.path))
    folders: dict[str, Path] = {}
    for one in wanted_weights(file.fleet, deployment):
        began = time.monotonic()
        with setting_up(f"the weights of {one.key} were being fetched", "files that came are kept"):
            result = _pulled(file, one, store, locked.get(one.key), progress)
        took(one.key, time.monotonic() - began, result.fetched)
        folders[one.key] = result.path
    return folders


def _pulled(
    file: FleetFile, one: Wanted, store: Store, entry: LockEntry | None, progress: Listener
) -> PullResult:
    result = pull(
        one.key,
        parse_source(one.weights),
        store=store,
        lock_entry=entry,
        allow_pickle=one.allow_pickle,
        progress=progress,
        check=one.check,
    )
    if result.lock_changed:
        update_lock(lock_path(file.path), one.key, result.entry)
    return result


def prepare_engines(file: FleetFile, say: Say) -> dict[str, Path]:
    """Return the interpreter that has each deployment's engine, installed if need be.

    Raises EnvironmentFailedError, SetUpInterruptedError; what `engine_findings` found must have
    been mended before.
    """
    pythons: dict[str, Path] = {}
    if any(emulated(file.fleet, deployment) for deployment in file.fleet.deployments.values()):
        say("engine twins: nothing real answers here")
    for name, deployment in file.fleet.deployments.items():
        if emulated(file.fleet, deployment):
            pythons[name] = Path(sys.executable)
            continue
        if deployment.engine.python is not None:
            pythons[name] = deployment.engine.python
            continue
        wanted = requirements(deployment.engine, file.fleet.hardware[deployment.hardware])
        if wanted is not None:
            pythons[name] = ensure_environment(wanted, cache_root(), say)
    return pythons


def engine_findings(file: FleetFile) -> Iterator[Finding]:
    """Yield deployments whose engine is neither here nor known how to install."""
    for name, deployment in file.fleet.deployments.items():
        path = ("deployments", name, "engine", "python")
        engine, hardware = deployment.engine, file.fleet.hardware[deployment.hardware]
        if hardware.kind == "emulated":
            continue
        if engine.name != "vllm":
            yield (*path[:-1], "name"), f"{engine.name} {_ONLY_IN_A_CLUSTER}"
        elif engine.python is not None:
            if not engine.python.is_file():
                yield (
                    path,
                    f"there is no file {engine.python}; name a Python that has {engine.name}",
                )
        elif requirements(engine, hardware) is None:
            what = f"{engine.name} {engine.version} on a {hardware.kind}"
            yield path, f"Headrace cannot install {what}; name a Python that has it"


def machine_findings(
    file: FleetFile, machine: Machine, gpus: tuple[str, ...], weights: Mapping[str, int]
) -> Iterator[Finding]:
    """Yield what this machine has too little of; `weights` are bytes by model, where known."""
    needs = []
    for name, deployment in file.fleet.deployments.items():
        if file.fleet.hardware[deployment.hardware].kind == "gpu":
            wanted = deployment.scaling.max * deployment.accelerators
            yield from device_findings(name, wanted, gpus)
        elif not emulated(file.fleet, deployment):
            keys = [deployment.model, *(adapter_key(name, one) for one in deployment.adapters)]
            each = _host_memory(deployment, sum(weights.get(key, 0) for key in keys))
            needs.append(Need(name, each, deployment.scaling.max))
    yield from memory_findings(needs, machine.memory_available)


def _host_memory(deployment: Deployment, weights: int) -> int:
    return replica_memory(weights, deployment.kv_cache or 0, deployment.tensor_parallel)


def locked_sizes(file: FleetFile) -> dict[str, int]:
    """Return the bytes of all weights that the lock file knows, by its keys; LockError."""
    return {name: entry.size for name, entry in read_lock(lock_path(file.path)).items()}


def blueprints(
    file: FleetFile,
    weights: Mapping[str, Path],
    pythons: Mapping[str, Path],
    machine: Machine,
    gpus: tuple[str, ...],
) -> list[Blueprint]:
    """Return what the supervisor starts replicas from, one for each deployment."""
    fleet, locked = file.fleet, read_lock(lock_path(file.path))
    digests = {key: entry.digest for key, entry in locked.items()}
    return [
        Blueprint(
            name=name,
            deployment=deployment,
            hardware=fleet.hardware[deployment.hardware],
            engine=_engine(deployment, fleet.hardware[deployment.hardware]),
            python=pythons[name],
            model_path=_NO_WEIGHTS
            if emulated(file.fleet, deployment)
            else weights[deployment.model],
            aliases=aliases(file.fleet, name),
            adapters=tuple(_adapters(file, name, weights)),
            known=_known(file, deployment),
            embeds=embeds(deployment),
            cores=machine.cores,
            devices=gpus if fleet.hardware[deployment.hardware].kind == "gpu" else (),
            digest="" if emulated(file.fleet, deployment) else digests.get(deployment.model, ""),
        )
        for name, deployment in fleet.deployments.items()
    ]


def _engine(deployment: Deployment, hardware: Hardware) -> LocalEngine:
    """Return vLLM, or the twin of any; `engine_findings` has refused other real ones."""
    name, version = deployment.engine.name, deployment.engine.version
    if hardware.kind == "emulated":
        return Emulated(engine_named(name, version))
    return Vllm(version)


def _known(file: FleetFile, deployment: Deployment) -> KnownPrompt | None:
    """Return the model's own known prompt; a twin knows the default only."""
    own = file.fleet.models[deployment.model].known_prompt
    return None if emulated(file.fleet, deployment) else own


def _adapters(
    file: FleetFile, deployment: str, weights: Mapping[str, Path]
) -> Iterator[LoraAdapter]:
    """Yield a deployment's adapters; FormatError if one was damaged since it was pulled."""
    for alias in file.fleet.deployments[deployment].adapters:
        folder = weights.get(adapter_key(deployment, alias))  # a twin's have none
        rank = adapter_rank(folder) if folder else _TWIN_RANK
        yield LoraAdapter(alias, folder or _NO_WEIGHTS, rank)
