"""Which route a request would take, and why: the very policies that run, asked without a fleet.

`headrace route` prints it. Nothing is running here: where load decides (a queue, a cold start) the
answer is for deployments that are all ready and idle.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from headrace.routing.match import Asked, RouteTable, conditions, mismatches
from headrace.routing.overflow import Fit, Landing, Needs, State, fit, land
from headrace.routing.route import Route
from headrace.routing.variants import Pick, Variants


@dataclass(frozen=True)
class Passed:
    """A route that a request passed by, and what it would have had to be."""

    route: str
    because: tuple[str, ...]


@dataclass(frozen=True)
class Taken:
    """The route that a request takes, the fields of `match` that decided it, and its variant.

    `pick` is None where each request is drawn anew. `landing` is where it goes while all are idle,
    None without a pick; `fits` says of each deployment that serves whether the request fits there.
    """

    route: Route
    rule: tuple[str, ...]
    pick: Pick | None
    landing: Landing | None
    fits: Mapping[str, Fit]


@dataclass(frozen=True)
class Explanation:
    """The routes that a request passed by, and the one that took it, if any did.

    `otherwise` names the routes (None: no route) that it would take if the estimate of its prompt
    were as wrong as it may be, with the tokens that would do it.
    """

    passed: tuple[Passed, ...]
    taken: Taken | None
    otherwise: tuple[tuple[int, str | None], ...] = ()


def explain(
    routes: Iterable[Route],
    asked: Asked,
    identity: Mapping[str, str | None],
    contexts: Mapping[str, int | None],
    margin: float = 0.0,
) -> Explanation:
    """Return what becomes of a request.

    `identity` has what routes can be sticky by ("conversation", "key"); `contexts` are in tokens,
    None where they are not known; `margin` is the share by which the prompt's count may be wrong.
    """
    table = RouteTable(routes)
    found = table.find(asked)
    passed = []
    for route in table.routes:
        if route is found:
            break
        passed.append(Passed(route.name, tuple(mismatches(route.rule, asked))))
    taken = None if found is None else _taken(found, asked, identity, contexts, margin)
    return Explanation(tuple(passed), taken, _otherwise(table, asked, found, margin))


def _taken(
    route: Route,
    asked: Asked,
    identity: Mapping[str, str | None],
    contexts: Mapping[str, int | None],
    margin: float,
) -> Taken:
    needs = Needs(asked.prompt_tokens, asked.max_tokens, margin)
    pick = _pick(route, identity.get(route.sticky))
    states = {name: State(ready=True, context=context) for name, context in contexts.items()}
    return Taken(
        route=route,
        rule=tuple(conditions(route.rule)),
        pick=pick,
        landing=None if pick is None else land(route, pick.deployment, states, needs),
        fits={name: fit(needs, contexts.get(name)) for name in route.deployments},
    )


def _pick(route: Route, identity: str | None) -> Pick | None:
    able = [variant for variant in route.variants if variant.weight > 0]
    if len(able) > 1 and identity is None:
        return None
    return Variants().pick(route, identity, 0.0)


def _otherwise(
    table: RouteTable, asked: Asked, found: Route | None, margin: float
) -> tuple[tuple[int, str | None], ...]:
    error = int(asked.prompt_tokens * margin)
    least, most = asked.prompt_tokens - error, asked.prompt_tokens + error
    others: dict[str | None, int] = {}
    for tokens in sorted({least, most, *(edge for edge in _edges(table) if least <= edge <= most)}):
        other = table.find(asked._replace(prompt_tokens=tokens))
        if other is not found:
            others.setdefault(other.name if other else None, tokens)
    return tuple((tokens, name) for name, tokens in others.items())


def _edges(table: RouteTable) -> Iterator[int]:
    """Yield the counts of prompt tokens at which a rule begins or ceases to hold."""
    for route in table.routes:
        bounds = route.rule.prompt
        if bounds is not None and bounds.least is not None:
            yield bounds.least
        if bounds is not None and bounds.most is not None:
            yield bounds.most + 1
