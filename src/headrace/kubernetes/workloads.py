"""From a settled fleet file to workloads: containers from engines, weights from the lock, reasons.

Nothing is fetched. A model that was never pulled is sized from the catalogue, and said to be
missing from the lock.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath

from headrace.engines.base import LoraAdapter
from headrace.engines.container import Container, ContainerEngine, Spot
from headrace.engines.emulated import Emulated
from headrace.engines.named import engine_named
from headrace.fleet.load import FleetFile, raise_problems
from headrace.fleet.problems import Problem
from headrace.fleet.source import FileSource, parse_source
from headrace.fleet.types import Deployment, Hardware
from headrace.hardware.catalogue import UnknownAcceleratorError, find_accelerator
from headrace.kubernetes import names
from headrace.kubernetes.objects.leader_worker import LEADER, RANK
from headrace.kubernetes.objects.scene import Scene
from headrace.kubernetes.objects.workload import CACHE, STORE, WEIGHTS_MOUNT, Weights, Workload
from headrace.models.adapter import adapter_rank
from headrace.models.cache import weights_root
from headrace.models.errors import WeightsError
from headrace.models.lock import LockEntry, adapter_key
from headrace.models.look_up import look_up
from headrace.models.store import Store
from headrace.planning.errors import PlanError
from headrace.planning.settled import Settled
from headrace.routing.from_fleet import served_names

USUAL_GPUS = 8
"""GPUs of a node, where neither the file nor the catalogue says."""
UNKNOWN_RANK = 64
"""Rank that is reserved for a LoRA adapter which was not pulled here; usual ones are 8 to 64."""
ADAPTER_BYTES = 2**29
"""Of such an adapter: an allowance."""


def workloads(
    settled: Settled, scene: Scene, lock: Mapping[str, LockEntry]
) -> tuple[Workload, ...]:
    """Return all deployments as the cluster runs them; FleetError names what it cannot run."""
    raise_problems(_problems(settled.file, scene))
    return tuple(_workload(settled, scene, lock, name) for name in settled.file.fleet.deployments)


def _problems(file: FleetFile, scene: Scene) -> Iterator[Problem]:
    for name, deployment in file.fleet.deployments.items():
        path = ("deployments", name)
        hardware = file.fleet.hardware[deployment.hardware]
        if len(names.engine(scene.name, name)) > names.MAX_NAME:
            message = f"{scene.name}-{name} is longer than the {names.MAX_NAME} letters of a name"
            yield file.problem(path, f"{message}; Kubernetes adds to it, up to 63")
        if hardware.kind == "gpu" and (message := _no_room(deployment, hardware)):
            yield file.problem(("hardware", deployment.hardware), f"deployments.{name}: {message}")
        if pods_of(deployment, hardware) > 1 and "lws" in scene.options.without:
            message = "one replica spans several nodes, which needs LeaderWorkerSet (LWS)"
            yield file.problem((*path, "hardware"), message)
        source = parse_source(file.fleet.models[deployment.model].weights)
        if isinstance(source, FileSource) and hardware.kind != "emulated":
            message = f"{source} is a file of one machine; no Pod has it: use hf://, https://"
            yield file.problem(("models", deployment.model, "weights"), f"{message} or wheel://")


def _no_room(deployment: Deployment, hardware: Hardware) -> str:
    """Say why no nodes of this hardware have a replica's GPUs; empty if they have."""
    each, tensor = per_node(hardware), deployment.tensor_parallel
    if tensor > each:
        return (
            f"each layer is shared by {tensor} GPUs, and a node has {each}: lower tensor_parallel,"
            " or say per_node"
        )
    needed = math.ceil(deployment.pipeline_parallel / (each // tensor))
    if needed > hardware.nodes:
        return (
            f"a replica has {deployment.accelerators} GPUs, which are on {needed} nodes of {each}:"
            f" say nodes: {needed}, or per_node"
        )
    return ""


def per_node(hardware: Hardware) -> int:
    """Return the GPUs of a node: the file's, else usual for the product."""
    if hardware.per_node is not None:
        return hardware.per_node
    try:
        return find_accelerator(hardware.product or "").per_node
    except UnknownAcceleratorError:
        return USUAL_GPUS


def pods_of(deployment: Deployment, hardware: Hardware) -> int:
    """Return the Pods of one replica: more than one if a node has too few GPUs for it.

    Engines give each Pod as many ranks as the others, and no stage is split over two: so its
    stages are shared out evenly, over the fewest Pods that a node has the GPUs for.
    """
    each, stages = per_node(hardware), deployment.pipeline_parallel
    if hardware.kind != "gpu" or deployment.accelerators <= each:
        return 1
    even = (pods for pods in range(1, stages) if stages % pods == 0)
    return next((pods for pods in even if deployment.accelerators // pods <= each), stages)


def _workload(settled: Settled, scene: Scene, lock: Mapping[str, LockEntry], name: str) -> Workload:
    deployment = settled.file.fleet.deployments[name]
    hardware = settled.file.fleet.hardware[deployment.hardware]
    twin = hardware.kind == "emulated"
    engine = engine_named(deployment.engine.name, deployment.engine.version)
    running: ContainerEngine = Emulated(engine) if twin else engine
    weights = None if twin else _weights(settled.file, name, lock)
    pods = pods_of(deployment, hardware)
    spot = Spot(
        model_path=weights.path if weights else "",
        served_names=served_names(settled.file.fleet, name),
        cache_path=CACHE,
        adapters=tuple(_adapters(name, deployment, lock)),
        nodes=pods,
        leader=LEADER if pods > 1 else "",
        rank=RANK if pods > 1 else "",
    )

    def made(spot: Spot) -> Container:
        container = running.container(deployment, hardware, spot)
        own = twin and deployment.engine.image is None
        return replace(container, image=scene.options.image) if own else container

    return Workload(
        scene=scene,
        deployment_name=name,
        deployment=deployment,
        hardware=hardware,
        engine=running,
        leader=made(spot),
        worker=made(replace(spot, worker=True)) if pods > 1 else None,
        pods=pods,
        weights=weights,
        per_node=per_node(hardware),
        reasons=_reasons(settled, name),
    )


def _weights(file: FleetFile, name: str, lock: Mapping[str, LockEntry]) -> Weights:
    deployment = file.fleet.deployments[name]
    keys = [deployment.model, *(adapter_key(name, one) for one in deployment.adapters)]
    folders = tuple(_folder(key, lock) for key in keys)
    sizes = (_size(file, key, lock) for key in keys)
    missing = tuple(key for key in keys if key not in lock)
    return Weights(folders[0], sum(sizes), missing, folders)


def _folder(key: str, lock: Mapping[str, LockEntry]) -> str:
    entry = lock.get(key)
    if entry is None:
        return f"{key.replace('/', '-')}-not-in-the-lock"
    return Store(Path()).path_of(entry).name


def _size(file: FleetFile, key: str, lock: Mapping[str, LockEntry]) -> int:
    if (entry := lock.get(key)) is not None:
        return entry.size
    if "/" in key:
        return ADAPTER_BYTES
    try:
        return look_up(parse_source(file.fleet.models[key].weights)).weights.total
    except WeightsError as error:
        message = f"its size is not known: {error}"
        raise_problems([file.problem(("models", key, "weights"), message)])
        raise


def _adapters(
    name: str, deployment: Deployment, lock: Mapping[str, LockEntry]
) -> Iterator[LoraAdapter]:
    for alias in deployment.adapters:
        key = adapter_key(name, alias)
        path = PurePosixPath(WEIGHTS_MOUNT, STORE, _folder(key, lock))
        yield LoraAdapter(alias, Path(path), _rank(lock.get(key)))


def _rank(entry: LockEntry | None) -> int:
    folder = Store(weights_root()).locate(entry) if entry else None
    return adapter_rank(folder) if folder else UNKNOWN_RANK


def _reasons(settled: Settled, name: str) -> dict[str, str]:
    """Return the plan's sentence for each field: what it chose, and what it thinks of the rest.

    Only vLLM on GPUs is planned: a plan for a CPU is about this machine, not the cluster's.
    """
    fleet = settled.file.fleet
    deployment = fleet.deployments[name]
    found = {flag.name: flag.brief for flag in settled.chosen.get(name, ())}
    if fleet.hardware[deployment.hardware].kind != "gpu" or deployment.engine.name != "vllm":
        return found
    return _explained(settled.file, name) | found


def _explained(file: FleetFile, name: str) -> dict[str, str]:
    from headrace.planning.explain import flags  # noqa: PLC0415 - numpy only where plans are made
    from headrace.planning.plan import plan  # noqa: PLC0415 - as above
    from headrace.planning.subject import subject  # noqa: PLC0415 - as above

    try:
        made = plan(subject(file, name))
        found = {flag.name: flag.brief for flag in flags(made)}
        known = made.replicas is not None
    except (PlanError, WeightsError):  # nothing is known of the model or the product: no reasons
        return {}
    return found if known else {name: why for name, why in found.items() if "." not in name}
