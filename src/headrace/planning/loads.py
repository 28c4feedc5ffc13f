"""What each route asks of each deployment: requests, their rate, and what was promised.

From the route's `traffic` in the file; a route that says nothing is given the lengths of public
traffic of its workload, and no rate, and the plan says so. A deployment to which routes only turn
in need has their lengths, at a rate that nobody knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np

from headrace.capacity.slo import Slo, slo_for
from headrace.fleet.check_routes import destinations
from headrace.fleet.load import FleetFile
from headrace.fleet.routes import Lengths, Route, Workload
from headrace.fleet.routes import Traffic as Expected
from headrace.planning.errors import PlanError
from headrace.traffic.declared import declare
from headrace.traffic.errors import TrafficError
from headrace.traffic.importers import read_traffic
from headrace.traffic.traffic import Traffic

ASSUMED: Mapping[Workload, tuple[Lengths, Lengths, str]] = MappingProxyType(
    {
        "interactive": (
            Lengths(p50=1020, p99=4142),
            Lengths(p50=129, p99=601),
            "those of Azure's conversations of 2023",
        ),
        "batch": (
            Lengths(p50=1469, p99=7436),
            Lengths(p50=129, p99=601),
            "prompts of Azure's code completions and answers of its conversations of 2023",
        ),
        "long-context": (
            Lengths(p50=6909, p99=85_401),
            Lengths(p50=350, p99=1120),
            "those of Mooncake's conversations",
        ),
    }
)
"""Lengths of public traces, for routes that declare none (tokens)."""
DECLARED = "declared"
"""The source of traffic that is made from figures."""
MANY = 4000
"""Requests of declared traffic: enough for its p99.9."""
FEW = 200
"""Requests that even the rarest of several routes has, where `MOST` allows it."""
MOST = 100_000
"""Requests of several routes together, unless recorded traces have more."""


@dataclass(frozen=True)
class Load:
    """One route's part of a deployment's work; `rate` in requests a second, None if not known."""

    route: str
    traffic: Traffic
    rate: float | None
    slo: Slo
    assumed: str = ""
    """Which lengths the file does not have, and whose were taken."""
    unknown: str = ""
    """Why there is no rate, as what the route does."""


def loads_of(file: FleetFile, deployment: str) -> tuple[Load, ...]:
    """Return the loads of a deployment; PlanError names the route whose traffic is no traffic."""
    routes = file.fleet.routes
    shares = {name: _share(route, deployment) for name, route in routes.items()}
    found = tuple(_load(file, name, share) for name, share in shares.items() if share)
    if found:
        return found
    return tuple(
        replace(
            _load(file, name, 1.0),
            rate=None,
            unknown="turns here only in need, nobody knows how often",
        )
        for name, route in routes.items()
        if deployment in (one for _, one in destinations(route))
    )


def _share(route: Route, deployment: str) -> float:
    """Return the part of a route's requests that come here, copies of them too; no overflow."""
    shadow = route.shadow
    copies = shadow.share if shadow is not None and shadow.deployment == deployment else 0.0
    if route.deployment is not None:
        return float(route.deployment == deployment) + copies
    total = sum(one.weight for one in route.variants)
    mine = sum(one.weight for one in route.variants if one.deployment == deployment)
    return (mine / total if total else 0.0) + copies


def _load(file: FleetFile, name: str, share: float) -> Load:
    route = file.fleet.routes[name]
    expected = route.traffic or Expected()
    try:
        traffic, assumed = _traffic(file.path.parent, expected, route.workload)
    except TrafficError as error:
        raise PlanError(f"routes.{name}.traffic: {error}") from error
    whole = expected.rate or (traffic.rate if expected.trace else 0.0)
    rate = whole * share or None
    return Load(
        name,
        traffic if rate is None else _paced(traffic, rate),
        rate,
        _slo(name, route),
        assumed,
        "" if rate else "declares no rate (set traffic.rate)",
    )


def _slo(name: str, route: Route) -> Slo:
    try:
        return slo_for(route.workload, route.slo.ttft, route.slo.tpot)
    except ValueError as error:
        raise PlanError(f"routes.{name}.slo: {error}") from error


def _paced(traffic: Traffic, rate: float) -> Traffic:
    """Return it at a rate, with its bursts; evenly where all came at once."""
    own = traffic.rate
    arrivals = traffic.arrivals * (own / rate) if own else np.arange(traffic.count) / rate
    return replace(traffic, arrivals=arrivals)


def _traffic(folder: Path, expected: Expected, workload: Workload) -> tuple[Traffic, str]:
    if expected.trace is not None:
        return read_traffic(folder / expected.trace), ""
    prompt, output, whose = ASSUMED[workload]
    made = _declared(expected.rate or 1.0, expected.prompt or prompt, expected.output or output)
    return made, _assumed(expected, whose)


def _assumed(expected: Expected, whose: str) -> str:
    missing = {"prompts": expected.prompt, "answers": expected.output}
    names = [name for name, lengths in missing.items() if lengths is None]
    return f"no lengths of {' and '.join(names)}: {whose} are taken" if names else ""


def _declared(rate: float, prompt: Lengths, output: Lengths) -> Traffic:
    return declare(rate, prompt.p50, prompt.p99, output.p50, output.p99, count=MANY)


def together(loads: tuple[Load, ...]) -> Traffic:
    """Return all loads as one traffic over the same time, each at its own rate.

    Loads without a rate count as alike. What is shorter than that time is repeated.
    """
    if len(loads) == 1:
        return loads[0].traffic
    end = _time(loads)
    parts = [_during(one, end) for one in loads]
    arrivals, prompts, outputs = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("arrivals", "prompts", "outputs")
    )
    order = np.argsort(arrivals, kind="stable")
    names = ", ".join(one.route for one in loads)
    notes = tuple(dict.fromkeys(note for part in parts for note in part.notes))
    return Traffic(arrivals[order], prompts[order], outputs[order], f"routes {names}", notes)


def _time(loads: tuple[Load, ...]) -> float:
    """Return the seconds in which the rarest has `FEW` requests, or in which each has its own.

    Shares of requests decide mean lengths, so the rarest is not given more of them than it has.
    """
    rates = [_pace(one) for one in loads]
    own = min(one.traffic.duration for one in loads)
    return max(own, min(FEW / min(rates), MOST / sum(rates)))


def _pace(load: Load) -> float:
    return load.rate or load.traffic.rate or 1.0


def _during(load: Load, end: float) -> Traffic:
    """Return the requests of `end` seconds, at least one, repeated where they end earlier.

    Of declared ones as many as the rate says: their times are made up, their share is not.
    """
    traffic, pace = load.traffic, _pace(load)
    period = traffic.count / pace
    times = 2 + int(end / period)
    starts = np.repeat(np.arange(times) * period, traffic.count)
    arrivals = np.tile(traffic.arrivals, times) + starts
    declared = traffic.source == DECLARED
    came = round(end * pace) if declared else np.searchsorted(arrivals, end, side="right")
    kept = slice(max(1, int(came)))
    made = replace(
        traffic,
        arrivals=arrivals[kept],
        prompts=np.tile(traffic.prompts, times)[kept],
        outputs=np.tile(traffic.outputs, times)[kept],
    )
    return _paced(made, pace) if declared else made
