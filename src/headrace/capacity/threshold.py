"""When to start a further replica: the target of a scaling trigger that fires early enough.

The HPA compares the signal with target x replicas and does nothing within 10 % (`scaling.hpa`); a
replica asked for then helps one reaction later. A queue tells only once the load has outgrown the
fleet, so with long cold starts no target on it is early enough, and running requests have to count
as well (the signal `demand`); that keeps a share of each replica free, which costs money, and
`why` says how much.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from headrace.capacity.replicas import Reaction

TOLERANCE = 1.1
"""The HPA acts when the signal is more than this times the target."""


@dataclass(frozen=True)
class Growing:
    """A fleet under a load that grows.

    `replicas` warm ones take `capacity` requests a second each and have each request for
    `residence` seconds; the rate grows by `growth` requests a second during one reaction; a
    request may wait `wait` seconds.
    """

    replicas: int
    capacity: float
    residence: float
    growth: float
    wait: float

    @property
    def total(self) -> float:
        """Requests a second that all of them take."""
        return self.replicas * self.capacity


@dataclass(frozen=True)
class Threshold:
    """A trigger's `target` for each replica, and why.

    `signal` None: no trigger is early enough, only warm replicas help.
    """

    signal: Literal["waiting", "demand"] | None
    target: float
    why: str


def threshold(load: Growing, reaction: Reaction) -> Threshold:
    """Return the highest target at which help comes before anyone waits longer than allowed."""
    return _waiting(load, reaction) or _demand(load, reaction) or _none(load, reaction)


def _waiting(load: Growing, reaction: Reaction) -> Threshold | None:
    """Let the rate pass the capacity at 0 s and grow by g each second: the queue is g * t**2 / 2.

    The last moment for help is when it has grown to total * wait, sqrt(2 * total * wait / g); the
    trigger has to fire one reaction before.
    """
    most = load.total * load.wait
    slope = load.growth / reaction.delay
    early = math.inf if slope == 0 else math.sqrt(2 * most / slope) - reaction.delay
    if early <= 0:
        return None
    queue = most if slope == 0 else min(most, slope * early**2 / 2)
    target = queue / (TOLERANCE * load.replicas)
    if queue < 1:
        return None
    return Threshold(
        "waiting",
        _rounded(target),
        f"from {queue:.1f} waiting requests it takes {reaction.delay:g} s until the queue is"
        f" {most:.0f} long, {load.wait:.3g} s of waiting; the HPA acts above 1.1 x the target, and"
        " a trigger on demand beside it keeps what it brought",
    )


def _demand(load: Growing, reaction: Reaction) -> Threshold | None:
    """Fire while the growth of one reaction still fits, counted in requests (Little's law)."""
    rate = load.total - load.growth
    if rate <= 0:
        return None
    running = rate * load.residence / load.replicas
    free = load.growth / load.total
    return Threshold(
        "demand",
        _rounded(running / TOLERANCE),
        f"a queue of {load.total * load.wait:.0f} is {load.wait:.3g} s of waiting, and the rate"
        f" grows by {load.growth:.3g} requests/s in the {reaction.delay:g} s until help comes:"
        f" waiting requests tell too late. Counting running ones ({load.residence:.3g} s each), a"
        f" trigger at {running:.1f} a replica leaves {free:.0%} of it free for that",
    )


def _none(load: Growing, reaction: Reaction) -> Threshold:
    return Threshold(
        None,
        0.0,
        f"in the {reaction.delay:g} s until help comes the rate grows by {load.growth:.3g}"
        f" requests/s, more than {load.replicas} warm replicas take in all"
        f" ({load.total:.3g} requests/s): keep more of them warm, shorten the cold start, or let"
        " requests wait longer",
    )


def _rounded(target: float) -> float:
    """Return it with 2 digits, rounded down: a lower target only fires earlier."""
    step = 10.0 ** (math.floor(math.log10(target)) - 1)
    return round(math.floor(target / step) * step, 9)
