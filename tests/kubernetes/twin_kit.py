"""A twin in the test's own loop, and plain objects for it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from lightkube.config.kubeconfig import KubeConfig

from headrace.kubernetes.cluster import Cluster
from headrace.kubernetes.resource import NAMESPACES
from headrace.kubernetes.twin.server import Twin

SPACE = "shop"


@contextlib.asynccontextmanager
async def twin_and_cluster() -> AsyncIterator[tuple[Twin, Cluster]]:
    async with Twin() as twin, cluster_of(twin) as cluster:
        await cluster.apply(NAMESPACES, namespace())
        yield twin, cluster


def cluster_of(twin: Twin, pauses: tuple[float, ...] = (0.0, 0.0)) -> Cluster:
    config = KubeConfig.from_dict(twin.kubeconfig()).get()
    assert config is not None
    return Cluster(config, pauses)


def namespace(name: str = SPACE) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def deployment(name: str = "web", **spec: Any) -> dict[str, Any]:
    labels = {"app": name}
    container = {
        "name": "engine",
        "image": "engine:1",
        "args": ["--a", "--b"],
        "env": [{"name": "A", "value": "1"}],
        "ports": [{"name": "http", "containerPort": 8000}],
    }
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": SPACE},
        "spec": {"selector": {"matchLabels": labels}, "template": template, **spec},
    }


def config_map(name: str, labels: dict[str, str] | None = None, **data: str) -> dict[str, Any]:
    meta = {"name": name, "namespace": SPACE, **({"labels": labels} if labels else {})}
    filled = {"data": data} if data else {}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, **filled}
