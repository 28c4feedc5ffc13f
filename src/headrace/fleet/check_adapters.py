"""Contradictions about LoRA adapters: names that mean two things, and ones that nobody can ask for.

A part of `checks.py`. A request asks for an adapter by its name in `model`, so routes and
deployments must agree on what the name means.
"""

from __future__ import annotations

from collections.abc import Iterator

from headrace.fleet.check_routes import destinations, own_deployments
from headrace.fleet.document import Path_
from headrace.fleet.routes import Route
from headrace.fleet.types import Fleet

Finding = tuple[Path_, str]


def check_adapters(fleet: Fleet) -> Iterator[Finding]:
    """Yield each adapter whose name is taken or not asked for, and variants that lack one."""
    owners: dict[str, str] = {}
    for deployment, config in fleet.deployments.items():
        for adapter in config.adapters:
            path: Path_ = ("deployments", deployment, "adapters", adapter)
            if adapter in fleet.models:
                yield path, "is the name of a model too; name the adapter otherwise"
            yield from _other_weights(fleet, adapter, owners.get(adapter), deployment)
            yield from _unasked(fleet, adapter, deployment)
            owners.setdefault(adapter, deployment)
    for name, route in fleet.routes.items():
        yield from _lacking(fleet, route, ("routes", name))


def _other_weights(fleet: Fleet, adapter: str, first: str | None, second: str) -> Iterator[Finding]:
    """Two deployments may have one name for different weights only as variants of one route."""
    if first is None:
        return
    weights = [fleet.deployments[name].adapters[adapter].weights for name in (first, second)]
    together = any(
        {first, second} <= {name for _, name in destinations(route)}
        for route in _asking(fleet, adapter)
    )
    if weights[0] != weights[1] and not together:
        message = (
            f"deployment '{first}' has other weights under this name; rename one of them, or make "
            "the two variants of one route"
        )
        yield ("deployments", second, "adapters", adapter), message


def _unasked(fleet: Fleet, adapter: str, deployment: str) -> Iterator[Finding]:
    asking = list(_asking(fleet, adapter))
    if any(deployment in {name for _, name in destinations(route)} for route in asking):
        return
    path = ("deployments", deployment, "adapters", adapter)
    if asking:
        message = (
            f"no route for '{adapter}' leads to this deployment; add it there, or remove it here"
        )
    else:
        message = f"no route matches model '{adapter}', so nobody could ask for it; add it to one"
    yield path, message


def _lacking(fleet: Fleet, route: Route, path: Path_) -> Iterator[Finding]:
    """Yield aliases that one variant would serve, and another quietly answer as the bare model."""
    own = [name for name in own_deployments(route) if name in fleet.deployments]
    for index, alias in enumerate(route.match.model):
        having = [name for name in own if alias in fleet.deployments[name].adapters]
        lacking = [name for name in own if name not in having]
        if having and lacking:
            message = (
                f"'{alias}' is an adapter of '{having[0]}', but variant '{lacking[0]}' has none of "
                "that name; add it there, or give the adapter a route of its own"
            )
            yield (*path, "match", "model", index), message


def _asking(fleet: Fleet, alias: str) -> Iterator[Route]:
    return (
        route
        for route in fleet.routes.values()
        if not route.match.model or alias in route.match.model
    )
