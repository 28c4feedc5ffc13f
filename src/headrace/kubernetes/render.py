"""A fleet file as files for Kubernetes: one per concern, the same at every run.

The way: settle what the file leaves open, make a workload of each deployment (`workloads.py`), let
each concern write its objects (`objects/`). `apply` sends the same objects.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from headrace.fleet.load import FleetFile, raise_problems
from headrace.fleet.problems import Problem
from headrace.kubernetes import names, yaml
from headrace.kubernetes.notes import Noted
from headrace.kubernetes.objects import (
    config,
    dashboard,
    engine,
    exposure,
    fleet_rules,
    gateway,
    monitoring,
    network,
    rules,
    scaler_objects,
    scaling,
    weights,
)
from headrace.kubernetes.objects.kustomization import kustomization
from headrace.kubernetes.objects.scene import Scene
from headrace.kubernetes.objects.workload import Workload
from headrace.kubernetes.options import Options
from headrace.kubernetes.workloads import workloads
from headrace.models.lock import lock_path, read_lock
from headrace.planning.settled import Settled, settled

KUSTOMIZATION = "kustomization.yaml"
_NO_LOCK = '{"version": 1, "models": {}}\n'


@dataclass(frozen=True)
class Rendered:
    """One file: its name, what it is for, and the objects in it."""

    path: str
    title: str
    objects: tuple[Noted, ...]

    @property
    def text(self) -> str:
        """The file."""
        return yaml.write(self.objects, self.title)


def render(file: FleetFile, options: Options) -> list[Rendered]:
    """Return all files; FleetError, LockError or PlanError says what cannot be rendered."""
    done = settled(file)
    scene = _scene(done, options)
    found = workloads(done, scene, read_lock(lock_path(file.path)))
    files = [one for one in _files(scene, found) if one.objects]
    raise_problems(_twice(file, files))
    listed = kustomization(one.path for one in files)
    return [*files, Rendered(KUSTOMIZATION, "", (listed,))]


def _twice(file: FleetFile, files: Sequence[Rendered]) -> Iterator[Problem]:
    """Yield objects that would be one and the same: a deployment named `gateway`, for example."""
    seen: dict[tuple[str, str], str] = {}
    for one in files:
        for made in one.objects:
            key = (made["kind"], made["metadata"]["name"])
            if key in seen:
                message = f"{key[0]} {key[1]} would be in {seen[key]} and in {one.path}"
                yield file.problem(("deployments",), f"{message}; rename a deployment")
            seen[key] = one.path


def _scene(done: Settled, options: Options) -> Scene:
    file = done.file
    lock = lock_path(file.path)
    return Scene(
        fleet=file.fleet,
        text=config.cluster_text(file.path.read_text(encoding="utf-8"), done.chosen),
        lock=lock.read_text(encoding="utf-8") if lock.is_file() else _NO_LOCK,
        options=options,
    )


def _files(scene: Scene, found: Sequence[Workload]) -> Iterator[Rendered]:
    roots = any(one.leader.user is None for one in found)
    space = config.namespace(scene, roots=roots)
    yield Rendered("00-namespace.yaml", f"fleet {scene.name}", (space,))
    yield _file("10-config.yaml", "the fleet file and its lock", [config.config_map(scene)])
    for work in found:
        yield from _deployment(work)
    yield _file("30-gateway.yaml", "the gateways", _gateway(scene))
    yield _file("40-scaler.yaml", "tells KEDA what there is to do", _scaler(scene))
    yield _file("50-network.yaml", "who may talk to whom", network.objects(scene, found))
    if scene.watched:
        shown = [dashboard.config_map(scene, found)]
        yield _file("60-dashboard.yaml", "what Grafana shows", shown)


def _file(path: str, title: str, objects: Sequence[Noted]) -> Rendered:
    return Rendered(path, title, tuple(objects))


def _gateway(scene: Scene) -> list[Noted]:
    monitor = monitoring.own_monitor(scene, names.GATEWAY)
    watched = [monitor, fleet_rules.gateway_rules(scene)] if scene.watched else []
    return [*gateway.objects(scene), *exposure.objects(scene), *watched]


def _scaler(scene: Scene) -> list[Noted]:
    made = scaler_objects.objects(scene)
    watched = [monitoring.own_monitor(scene, names.SCALER)] if made and scene.watched else []
    return [*made, *watched]


def _deployment(work: Workload) -> Iterator[Rendered]:
    name, engine_ = work.deployment_name, f"{work.engine.name} {work.engine.version}"
    title = f"{name}: {work.deployment.model} on {engine_}"
    yield _file(f"20-{name}-engine.yaml", title, engine.objects(work))
    yield _file(f"21-{name}-weights.yaml", f"{name}: its weights", weights.objects(work))
    yield _file(f"22-{name}-scaling.yaml", f"{name}: how many replicas", scaling.objects(work))
    watched = [*monitoring.objects(work), *rules.objects(work)] if work.scene.watched else []
    yield _file(f"23-{name}-monitoring.yaml", f"{name}: what is read and alerted on", watched)
