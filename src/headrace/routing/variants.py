"""Which of a route's deployments serves a request, and whether another one gets a copy.

A request that comes alone is drawn by the weights. One with an identity (its conversation or key)
keeps its variant for as long as that has a weight: what was picked is remembered, and what is not
remembered (after a restart, on another gateway) is picked by a weighted rendezvous hash, which is
the same everywhere and moves only the share of identities that a change of weights must move.
`match.py` found the route; `overflow.py` says when the request goes elsewhere after all.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import NamedTuple

import xxhash

from headrace.routing.route import Route, Variant

REMEMBERED = 100_000
"""Identities whose variant is remembered, about 15 MB; beyond that the longest unused goes."""
_SPAN = 2.0**64


class Pick(NamedTuple):
    """A deployment, and in words why it was picked."""

    deployment: str
    why: str


class Variants:
    """Picks variants and remembers them over changes of the routes; one serves all routes.

    An identity counts for one route alone: two routes never share a pick.
    """

    def __init__(self, remembered: int = REMEMBERED) -> None:
        self._limit = remembered
        self._kept: OrderedDict[int, str] = OrderedDict()

    def pick(self, route: Route, identity: str | None, chance: float) -> Pick:
        """Return the deployment for a request; at least one variant has a weight above 0.

        `identity` is what the route is sticky by, None where there is nothing; `chance` in [0, 1)
        then draws. Give the identity on a route with a single variant too: its conversations keep
        that variant when a second one is added.
        """
        if identity is None or route.sticky == "none":
            return _picked(route, _drawn(route.variants, chance))
        digest = xxhash.xxh3_64_intdigest(f"{route.name}\0{identity}".encode())
        kept = self._kept.get(digest)
        if kept is not None and _serves(route, kept):
            self._kept.move_to_end(digest)
            return Pick(kept, f"the {route.sticky} kept its variant")
        variant = _hashed(route.variants, digest)
        self._keep(digest, variant.deployment)
        return _picked(route, variant)

    def _keep(self, digest: int, deployment: str) -> None:
        self._kept[digest] = deployment
        self._kept.move_to_end(digest)
        if len(self._kept) > self._limit:
            self._kept.popitem(last=False)


def mirrored(route: Route, chance: float) -> str | None:
    """Return the deployment that gets a copy of a request, or None; `chance` in [0, 1) draws."""
    shadow = route.shadow
    return shadow.deployment if shadow is not None and chance < shadow.share else None


def shares(route: Route) -> dict[str, float]:
    """Return each variant's share of the route's requests (0 to 1)."""
    total = _total(route.variants)
    return {variant.deployment: variant.weight / total for variant in route.variants}


def _total(variants: tuple[Variant, ...]) -> float:
    return sum(variant.weight for variant in variants)


def _serves(route: Route, deployment: str) -> bool:
    return deployment in [one.deployment for one in route.variants if one.weight > 0]


def _picked(route: Route, variant: Variant) -> Pick:
    if len(route.variants) == 1:
        return Pick(variant.deployment, "the route's only variant")
    return Pick(variant.deployment, f"weight {variant.weight:g} of {_total(route.variants):g}")


def _drawn(variants: tuple[Variant, ...], chance: float) -> Variant:
    """Return the variant at `chance` of the way through the weights."""
    able = [variant for variant in variants if variant.weight > 0]
    left = chance * _total(variants)
    for variant in able:
        left -= variant.weight
        if left < 0:
            return variant
    return able[-1]  # rounding may leave a speck of the way


def _hashed(variants: tuple[Variant, ...], digest: int) -> Variant:
    able = [variant for variant in variants if variant.weight > 0]
    return max(able, key=lambda variant: _score(variant, digest))


def _score(variant: Variant, digest: int) -> float:
    """Return the weighted rendezvous score of an identity with a variant.

    Schindelhauer and Schomaker, "Weighted distributed hash tables" (SPAA 2005), the logarithmic
    method: with u uniform in (0, 1) for each pair, the largest of -weight / ln(u) wins in
    proportion to the weights.
    """
    raw = xxhash.xxh3_64_intdigest(variant.deployment.encode(), seed=digest)
    uniform = (raw + 0.5) / _SPAN
    return math.inf if uniform >= 1 else -variant.weight / math.log(uniform)
