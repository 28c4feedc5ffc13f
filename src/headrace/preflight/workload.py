"""Workloads: objects that make Pods, whatever their kind, with the engines in their containers.

Deployments, StatefulSets, LeaderWorkerSets and Jobs are known; of other kinds (KServe, Ray) every
part that looks like a Pod template counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from headrace.preflight.engine import Engine, recognise
from headrace.preflight.node import Node
from headrace.preflight.objects import Resource

BATCH = {"Job", "CronJob", "Workflow", "PipelineRun", "TaskRun"}
GPU_RESOURCES = ("nvidia.com/gpu", "amd.com/gpu", "habana.ai/gaudi")
_LWS = "leaderworkerset.sigs.k8s.io"
DEFAULT_GRACE = 30
"""Seconds that Kubernetes gives a Pod to stop."""


@dataclass(frozen=True, eq=False)
class Workload:
    """One Pod template of one object."""

    resource: Resource
    template: Node
    """The part with `metadata` and `spec`."""
    pod: Node
    """The Pod's spec."""
    worker: bool = False
    """Whether it follows a leader that answers for it."""

    @cached_property
    def engines(self) -> tuple[Engine, ...]:
        """The engines in its containers."""
        found = (recognise(container) for container in self.pod["containers"].each())
        return tuple(engine for engine in found if engine)

    @property
    def serving(self) -> bool:
        """Whether it answers requests with an engine, for longer than one task."""
        return bool(self.engines) and self.resource.kind not in BATCH

    def answers(self, engine: Engine) -> bool:
        """Whether requests come to this Pod itself, and not to a leader of it."""
        return not self.worker and not engine.arguments.has("headless")

    @property
    def labels(self) -> dict[str, str]:
        """The labels of its Pods, with those that a controller adds."""
        own = self.template.at("metadata", "labels").labels()
        name = self.resource.name
        if self.resource.kind == "LeaderWorkerSet":
            index = "1" if self.worker else "0"
            return own | {f"{_LWS}/name": name, f"{_LWS}/worker-index": index}
        return own

    @property
    def replicas(self) -> int:
        """Replicas as written; 1 where nothing is."""
        return self.resource.spec["replicas"].whole(1)

    @property
    def grace(self) -> int:
        """Seconds between SIGTERM and SIGKILL, preStop included."""
        return self.pod["terminationGracePeriodSeconds"].whole(DEFAULT_GRACE)

    @property
    def nodes(self) -> int:
        """Pods of one replica; one where a file says less, which the API server refuses."""
        return max(self.resource.spec.at("leaderWorkerTemplate", "size").whole(1), 1)

    def gpus(self, container: Node) -> int | None:
        """Return the GPUs of a container; None where it names none."""
        resources = container["resources"]
        for name in GPU_RESOURCES:
            for part in ("limits", "requests"):
                if (count := resources.at(part, name).number) is not None:
                    return int(count)
        return None

    def mount(self, container: Node, path: str) -> Node | None:
        """Return the volume mounted at a path or above it, the nearest one."""
        mounts = [
            one for one in container["volumeMounts"].each() if _above(one["mountPath"].text, path)
        ]
        nearest = max(mounts, key=lambda one: len(one["mountPath"].text), default=None)
        return None if nearest is None else self.volume(nearest["name"].text)

    def volume(self, name: str) -> Node:
        """Return a volume of the Pod, or the claim template of a StatefulSet, by name."""
        claims = self.resource.spec["volumeClaimTemplates"].each()
        for claim in claims:
            if claim.at("metadata", "name").text == name:
                return Node({"persistentVolumeClaim": claim}, claim.line)
        for volume in self.pod["volumes"].each():
            if volume["name"].text == name:
                return volume
        return Node({"unknown": Node(value=True, line=self.pod.line)}, self.pod.line)


def _above(mount: str, path: str) -> bool:
    mount = mount.rstrip("/")
    return path == mount or path.startswith(f"{mount}/")


def workloads_of(resource: Resource) -> Iterator[Workload]:
    """Yield every Pod template in an object."""
    if resource.kind == "Pod":
        yield Workload(resource, resource.root, resource.spec)
        return
    yield from _templates(resource, resource.spec, resource.root)


def _templates(
    resource: Resource, node: Node, parent: Node, *, worker: bool = False
) -> Iterator[Workload]:
    """Walk down to what has containers; what is above it has the Pod's labels."""
    if any(one["image"] for one in node["containers"].each()):
        yield Workload(resource, parent, node, worker)
        return
    led = bool(node["leaderTemplate"])
    for name, part in node.items():
        follows = worker or (led and name == "workerTemplate")
        yield from _templates(resource, part, node, worker=follows)
    for part in node.each():
        yield from _templates(resource, part, node, worker=worker)
