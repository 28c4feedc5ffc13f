"""The routes of a fleet file, as the policies take them."""

from __future__ import annotations

from headrace.fleet import routes as written
from headrace.fleet.types import Fleet
from headrace.routing.route import (
    Limits,
    Overflow,
    Range,
    Route,
    Rule,
    Shadow,
    Slo,
    Variant,
)


def routes_of(fleet: Fleet) -> tuple[Route, ...]:
    """Return the routes in their order."""
    return tuple(_route(name, route) for name, route in fleet.routes.items())


def aliases(fleet: Fleet, deployment: str) -> tuple[str, ...]:
    """Return the model names of all routes whose requests can reach a deployment, in order."""
    routes = (route for route in routes_of(fleet) if deployment in route.deployments)
    return tuple(dict.fromkeys(alias for route in routes for alias in route.rule.models))


def served_names(fleet: Fleet, deployment: str) -> tuple[str, ...]:
    """Return what a deployment's engine calls the model: its routes' aliases, then its own name.

    The aliases of its adapters are names of their own.
    """
    own = fleet.deployments[deployment].adapters
    found = (alias for alias in aliases(fleet, deployment) if alias not in own)
    return tuple(dict.fromkeys((*found, deployment)))


def _route(name: str, route: written.Route) -> Route:
    return Route(
        name=name,
        rule=_rule(route.match),
        variants=_variants(route),
        sticky=route.sticky,
        shadow=Shadow(route.shadow.deployment, route.shadow.share) if route.shadow else None,
        overflow=tuple(Overflow(one.deployment, one.when, one.after) for one in route.overflow),
        priority=route.priority,
        limits=tuple(_limits(one) for one in route.limits),
        queue_limit=route.queue.limit,
        max_wait=route.queue.max_wait,
        record_prompts=route.record.prompts,
        record_answers=route.record.answers,
        slo=Slo(route.slo.ttft, route.slo.tpot),
        continuation=route.continuation,
        silence=route.silence,
    )


def _variants(route: written.Route) -> tuple[Variant, ...]:
    if route.deployment is not None:
        return (Variant(route.deployment, 1.0),)
    return tuple(Variant(one.deployment, one.weight) for one in route.variants)


def _rule(match: written.Match) -> Rule:
    return Rule(
        models=match.model,
        paths=match.path,
        headers=tuple((name.lower(), values) for name, values in match.headers.items()),
        keys=match.key,
        tenants=match.tenant,
        prompt=_range(match.prompt_tokens),
        output=_range(match.max_tokens),
        stream=match.stream,
    )


def _range(given: written.Range | None) -> Range | None:
    return None if given is None else Range(given.min, given.max)


def _limits(given: written.Limits) -> Limits:
    return Limits(
        per=given.per,
        requests_per_minute=given.requests_per_minute,
        tokens_per_minute=given.tokens_per_minute,
        concurrency=given.concurrency,
        max_prompt=given.max_prompt,
        max_output=given.max_output,
        enforce=given.mode == "enforce",
    )
