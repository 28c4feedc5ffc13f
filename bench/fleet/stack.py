"""A gateway process in front of twins, for as long as a block lasts."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bench.fleet.twins import Group, Listening
from bench.processes import free_port, running, until_it_listens
from headrace.gateway.control import Configure, Deployment, Replica, Replicas
from headrace.routing.route import Route


@dataclass(frozen=True)
class Plan:
    """What is served: routes, deployments, and for each deployment a group of twins."""

    routes: tuple[Route, ...]
    deployments: tuple[Deployment, ...]
    groups: tuple[Group, ...]


@contextmanager
def serving(plan: Plan, folder: Path, cores: frozenset[int]) -> Iterator[int]:
    """Serve the plan; yield the gateway's port."""
    twins = [sys.executable, "-m", "bench.fleet.twins"]
    with running("twins", twins, cores, folder / "twins.log", talks=True) as engines:
        engines.tell(msgspec.json.encode(plan.groups) + b"\n")
        ports = msgspec.json.decode(engines.hear(30), type=Listening).ports
        static = folder / "static.json"
        static.write_bytes(msgspec.json.encode(messages(plan, ports)))
        port = free_port()
        gateway = [sys.executable, "-m", "headrace.gateway", "--listen", f"127.0.0.1:{port}"]
        command = [*gateway, "--static", str(static)]
        with running("gateway", command, cores, folder / "gateway.log"):
            asyncio.run(until_it_listens(port))
            yield port


def messages(plan: Plan, ports: dict[str, list[int]]) -> Sequence[Configure | Replicas]:
    """Return what a runtime would tell the gateway."""
    configure = Configure(routes=plan.routes, deployments=plan.deployments)
    return [configure, *(_replicas(group, ports[group.name]) for group in plan.groups)]


def _replicas(group: Group, ports: list[int]) -> Replicas:
    of = group.behaviour
    replicas = tuple(
        Replica(
            id=f"{group.name}-{number}",
            host="127.0.0.1",
            port=port,
            room=of.slots,
            names=of.names,
            cache=of.kv_tokens,
        )
        for number, port in enumerate(ports)
    )
    return Replicas(deployment=group.name, replicas=replicas)
