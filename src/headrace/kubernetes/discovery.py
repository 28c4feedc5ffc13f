"""Which of the kinds that a fleet needs a cluster has, found out before anything is sent.

Each API group's version lists its kinds; one that does not exist is an add-on that nobody
installed. What is missing is named with what it is for, and how to do without it on purpose.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from headrace.kubernetes.cluster import Cluster
from headrace.kubernetes.errors import MissingKindsError
from headrace.kubernetes.resource import Object, Resource, api_path, kind_of

Kinds = Mapping[tuple[str, str], Resource]
"""By apiVersion and kind."""


@dataclass(frozen=True)
class AddOn:
    """What brings kinds that are not part of Kubernetes, what for, and how to leave it out."""

    title: str
    purpose: str
    otherwise: str


ADD_ONS: Mapping[str, AddOn] = {
    "keda.sh": AddOn(
        "KEDA",
        "scales deployments by waiting work, to zero and back",
        "--without keda keeps counts fixed",
    ),
    "monitoring.coreos.com": AddOn(
        "the Prometheus operator",
        "reads the metrics of gateways and engines, and alerts on them",
        "--without prometheus leaves metrics to whatever else reads them",
    ),
    "leaderworkerset.x-k8s.io": AddOn(
        "LeaderWorkerSet (LWS)",
        "runs a replica that spans several nodes",
        "without it every replica has to fit on one node (--without lws)",
    ),
    "gateway.networking.k8s.io": AddOn(
        "the Gateway API",
        "lets clients from outside in by an HTTPRoute",
        "--without gateway-api leaves the route out; --expose ingress=HOST uses an Ingress",
    ),
}
"""By API group."""


async def discover(cluster: Cluster, api_versions: Iterable[str]) -> Kinds:
    """Return the kinds of these API groups that the cluster has."""
    wanted = sorted(set(api_versions))
    found = await asyncio.gather(*(_kinds(cluster, one) for one in wanted))
    return {(one.api_version, one.kind): one for part in found for one in part}


async def _kinds(cluster: Cluster, api_version: str) -> list[Resource]:
    listed = await cluster.read(api_path(api_version), f"list the kinds of {api_version}")
    group, _, version = api_version.rpartition("/")
    return [
        Resource(group, version, one["kind"], one["name"], namespaced=one["namespaced"])
        for one in (listed or {}).get("resources", [])
        if "/" not in one["name"]  # a subresource
    ]


def require(objects: Iterable[Object], kinds: Kinds) -> None:
    """Return if the cluster has the kinds of all objects; else MissingKindsError names the rest."""
    missing = dict.fromkeys(pair for one in objects if (pair := kind_of(one)) not in kinds)
    if missing:
        told = "\n".join(f"  {line}" for line in _lines(missing))
        raise MissingKindsError(
            f"the cluster lacks what this fleet needs; nothing was sent:\n{told}"
        )


def _lines(missing: Iterable[tuple[str, str]]) -> list[str]:
    by_version: dict[str, list[str]] = {}
    for api_version, kind in missing:
        by_version.setdefault(api_version, []).append(kind)
    return [_line(api_version, kinds) for api_version, kinds in by_version.items()]


def _line(api_version: str, kinds: list[str]) -> str:
    names = f"{', '.join(kinds)} ({api_version})"
    add_on = ADD_ONS.get(api_version.rpartition("/")[0])
    if add_on is None:
        return f"{names}: part of Kubernetes 1.35 and newer; this cluster is older or restricted"
    return f"{names}: {add_on.title} {add_on.purpose}; install it, or: {add_on.otherwise}"
