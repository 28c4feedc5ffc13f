"""Contradictions inside one route: what it matches, where it leads, what it limits.

A part of `checks.py`. Whether a request can reach the route at all is in `reach.py`, adapters are
in `check_adapters.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from headrace.fleet.document import Path_
from headrace.fleet.problems import nearest
from headrace.fleet.reach import API_PATHS
from headrace.fleet.routes import Lengths, Limits, Match, Overflow, Range, Route, Traffic
from headrace.fleet.types import Deployment, Fleet
from headrace.fleet.units import format_duration

Finding = tuple[Path_, str]

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""RFC 9110 section 5.6.2: what a header's name may be."""
_VALUE = re.compile(r"[!-~]([ -~]*[!-~])?")
_SECRET_HEADER = re.compile(
    r"(^|[-_])(authori[sz]ation|cookie2?|token|secret|passw(or)?d|credentials?|api[-_]?key)($|[-_])",
    re.IGNORECASE,
)
_NO_KEYS = "gateway.keys is not set, so nobody has a key; make a file with `headrace keys new`"


def check_routes(fleet: Fleet) -> Iterator[Finding]:
    """Yield what is wrong with each route by itself, and deployments that none leads to."""
    reached: set[str] = set()
    for name, route in fleet.routes.items():
        path: Path_ = ("routes", name)
        reached.update(deployment for _, deployment in destinations(route))
        yield from _targets(fleet, route, path)
        yield from _variants(route, path)
        yield from _overflow(fleet, route, path)
        yield from _match(route.match, (*path, "match"))
        yield from _limits(route.limits, path)
        yield from _callers(fleet, route, path)
        yield from _traffic(route.traffic, (*path, "traffic"))
    for name in fleet.deployments.keys() - reached:
        message = "no route leads here, so it would never serve; add one or remove it"
        yield ("deployments", name), message


def destinations(route: Route) -> Iterator[tuple[Path_, str]]:
    """Yield every deployment that a route names, and where."""
    if route.deployment is not None:
        yield ("deployment",), route.deployment
    for index, variant in enumerate(route.variants):
        yield ("variants", index, "deployment"), variant.deployment
    for index, overflow in enumerate(route.overflow):
        yield ("overflow", index, "deployment"), overflow.deployment
    if route.shadow is not None:
        yield ("shadow", "deployment"), route.shadow.deployment


def own_deployments(route: Route) -> tuple[str, ...]:
    """Return the deployments that share a route's requests, those of weight 0 included."""
    if route.deployment is not None:
        return (route.deployment,)
    return tuple(dict.fromkeys(variant.deployment for variant in route.variants))


def _targets(fleet: Fleet, route: Route, path: Path_) -> Iterator[Finding]:
    if route.deployment is None and not route.variants:
        yield path, "leads nowhere; give it a deployment, or variants"
    if route.deployment is not None and route.variants:
        yield (*path, "deployment"), "contradicts variants; keep one of the two"
    for where, deployment in destinations(route):
        if deployment not in fleet.deployments:
            hint = nearest(deployment, fleet.deployments)
            yield (*path, *where), f"no deployment is named '{deployment}'{hint}"


def _variants(route: Route, path: Path_) -> Iterator[Finding]:
    seen: set[str] = set()
    for index, variant in enumerate(route.variants):
        if variant.deployment in seen:
            where = (*path, "variants", index, "deployment")
            yield where, f"'{variant.deployment}' is a variant already; add the weights up"
        seen.add(variant.deployment)
    if route.variants and not any(variant.weight for variant in route.variants):
        message = "all weights are 0, so nothing could serve; give one of them a weight"
        yield (*path, "variants"), message
    served = {variant.deployment for variant in route.variants if variant.weight}
    if route.shadow is not None and route.shadow.deployment in served | {route.deployment}:
        message = "serves this route; a shadow is another deployment, or a variant of weight 0"
        yield (*path, "shadow", "deployment"), message


def _overflow(fleet: Fleet, route: Route, path: Path_) -> Iterator[Finding]:
    own = own_deployments(route)
    named: set[tuple[str, str]] = set()
    for index, overflow in enumerate(route.overflow):
        where = (*path, "overflow", index)
        if own == (overflow.deployment,):
            yield (*where, "deployment"), "is the route's own deployment; name another one"
        for cause in overflow.when:
            if (overflow.deployment, cause) in named:
                message = f"'{cause}' leads to '{overflow.deployment}' already; keep one of them"
                yield (*where, "when"), message
            named.add((overflow.deployment, cause))
        yield from _after(fleet, route, overflow, where)
        yield from _context(fleet, own, overflow, where)


def _after(fleet: Fleet, route: Route, overflow: Overflow, where: Path_) -> Iterator[Finding]:
    if "queue" not in overflow.when:
        if "after" in overflow.model_fields_set:
            yield (*where, "after"), "counts for 'queue' alone; add that to `when`, or remove this"
        return
    longest = max(_max_waits(route, _known(fleet, own_deployments(route))), default=None)
    if longest is not None and overflow.after >= longest:
        message = (
            f"{format_duration(overflow.after)} is never waited: requests are refused after "
            f"max_wait, {format_duration(longest)}; make this shorter"
        )
        yield (*where, "after"), message


def _max_waits(route: Route, deployments: Iterable[Deployment]) -> Iterator[float]:
    own = route.queue.max_wait
    for deployment in deployments:
        yield deployment.queue.max_wait if own is None else min(own, deployment.queue.max_wait)


def _context(
    fleet: Fleet, own: tuple[str, ...], overflow: Overflow, where: Path_
) -> Iterator[Finding]:
    target = fleet.deployments.get(overflow.deployment)
    if "context" not in overflow.when or target is None or target.max_model_len is None:
        return
    contexts = [deployment.max_model_len for deployment in _known(fleet, own)]
    if contexts and all(one is not None and one >= target.max_model_len for one in contexts):
        message = (
            f"'context' helps nobody: max_model_len of '{overflow.deployment}' is "
            f"{target.max_model_len}, no more than the route's own; raise it, or remove the cause"
        )
        yield (*where, "when"), message


def _known(fleet: Fleet, names: Iterable[str]) -> list[Deployment]:
    return [fleet.deployments[name] for name in names if name in fleet.deployments]


def _match(match: Match, path: Path_) -> Iterator[Finding]:
    for index, asked in enumerate(match.path):
        if asked not in API_PATHS:
            message = f"no deployment serves '{asked}'{nearest(asked, API_PATHS)}"
            yield (*path, "path", index), message
    seen: dict[str, str] = {}
    for name, values in match.headers.items():
        yield from _header(name, values, seen, (*path, "headers", name))
        seen.setdefault(name.lower(), name)
    yield from _range(match.prompt_tokens, (*path, "prompt_tokens"))
    yield from _range(match.max_tokens, (*path, "max_tokens"))


def _header(
    name: str, values: tuple[str, ...], seen: dict[str, str], path: Path_
) -> Iterator[Finding]:
    if not _TOKEN.fullmatch(name):
        yield path, "is not a header's name: letters, digits and dashes, such as x-team"
    if _SECRET_HEADER.search(name):
        message = "may carry a secret, which does not belong in this file; match key or tenant"
        yield path, message
    if name.lower() in seen:
        yield path, f"is the header '{seen[name.lower()]}' again: case does not count in names"
    for index, value in enumerate(values):
        if not _VALUE.fullmatch(value):
            message = "no header has this value: visible ASCII, spaces only between"
            yield (*path, index), message


def _range(given: Range | None, path: Path_) -> Iterator[Finding]:
    if given is None:
        return
    if given.min is None and given.max is None:
        yield path, "bounds nothing; give min, max or both, or remove it"
    if given.min is not None and given.max is not None and given.min > given.max:
        yield (*path, "min"), f"min {given.min} is greater than max {given.max}"


def _limits(limits: Iterable[Limits], path: Path_) -> Iterator[Finding]:
    for index, limit in enumerate(limits):
        if not limit.model_dump(exclude={"per", "mode"}, exclude_none=True):
            message = "limits nothing; set requests_per_minute, tokens_per_minute or another bound"
            yield (*path, "limits", index), message


def _traffic(given: Traffic | None, path: Path_) -> Iterator[Finding]:
    if given is None:
        return
    lengths = {"prompt": given.prompt, "output": given.output}
    if not given.model_dump(exclude_none=True):
        yield path, "expects nothing; give a trace, or rate, prompt and output, or remove it"
    for name, one in lengths.items():
        if one is not None and given.trace is not None:
            yield (*path, name), "contradicts trace, which has its own lengths; keep one of the two"
        yield from _lengths(one, (*path, name))


def _lengths(given: Lengths | None, path: Path_) -> Iterator[Finding]:
    if given is not None and given.p99 < given.p50:
        message = f"p99 {given.p99} is less than p50 {given.p50}: half of all are at most p50 long"
        yield (*path, "p99"), message


def _callers(fleet: Fleet, route: Route, path: Path_) -> Iterator[Finding]:
    """Yield what needs to know who calls, where nobody is asked."""
    if fleet.gateway.keys is not None:
        return
    if route.match.key:
        yield (*path, "match", "key"), _NO_KEYS
    if route.match.tenant:
        yield (*path, "match", "tenant"), _NO_KEYS
    if route.sticky == "key":
        yield (*path, "sticky"), _NO_KEYS
    for index, limit in enumerate(route.limits):
        if limit.per != "route":
            yield (*path, "limits", index, "per"), _NO_KEYS
