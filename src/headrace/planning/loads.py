"""What each route asks of each deployment: requests, their rate, and what was promised.

From the route's `traffic` in the file; a route that says nothing is given the lengths of public
traffic of its workload, and no rate, and the plan says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np

from headrace.capacity.slo import Slo, slo_for
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
MANY = 4000
"""Requests that all declared traffic of a deployment has together."""
FEW = 200


@dataclass(frozen=True)
class Load:
    """One route's part of a deployment's work; `rate` in requests a second, None if not known."""

    route: str
    traffic: Traffic
    rate: float | None
    slo: Slo
    workload: Workload
    assumed: str = ""
    """Whose lengths were taken, where the file has none."""


def loads_of(file: FleetFile, deployment: str) -> tuple[Load, ...]:
    """Return the loads of a deployment; PlanError names the route whose traffic is no traffic."""
    return tuple(_loads(file, deployment))


def _loads(file: FleetFile, deployment: str) -> Iterator[Load]:
    for name, route in file.fleet.routes.items():
        share = _share(route, deployment)
        if share:
            yield _load(file.path.parent, name, route, share)


def _share(route: Route, deployment: str) -> float:
    """Return the part of a route's requests that come here; overflow is not counted."""
    if route.deployment is not None:
        return float(route.deployment == deployment)
    total = sum(one.weight for one in route.variants)
    mine = sum(one.weight for one in route.variants if one.deployment == deployment)
    return mine / total if total else 0.0


def _load(folder: Path, name: str, route: Route, share: float) -> Load:
    slo = slo_for(route.workload, route.slo.ttft, route.slo.tpot)
    expected = route.traffic or Expected()
    try:
        traffic, assumed = _traffic(folder, expected, route.workload)
    except TrafficError as error:
        raise PlanError(f"routes.{name}.traffic: {error}") from error
    rate = expected.rate or (traffic.rate if expected.trace else None)
    if rate is not None and traffic.rate:
        traffic = replace(traffic, arrivals=traffic.arrivals * (traffic.rate / (rate * share)))
    return Load(name, traffic, None if rate is None else rate * share, slo, route.workload, assumed)


def _traffic(folder: Path, expected: Expected, workload: Workload) -> tuple[Traffic, str]:
    if expected.trace is not None:
        return read_traffic(folder / expected.trace), ""
    prompt, output, whose = ASSUMED[workload]
    made = _declared(expected.rate or 1.0, expected.prompt or prompt, expected.output or output)
    known = expected.prompt and expected.output
    return made, "" if known else whose


def _declared(rate: float, prompt: Lengths, output: Lengths) -> Traffic:
    return declare(rate, prompt.p50, prompt.p99, output.p50, output.p99, count=MANY)


def together(loads: tuple[Load, ...]) -> Traffic:
    """Return all loads as one traffic over the shortest of their times.

    Loads without a rate count as alike; each gives at least its first `FEW` requests' lengths.
    """
    if len(loads) == 1:
        return loads[0].traffic
    end = min(one.traffic.duration for one in loads)
    parts = [_until(one.traffic, end) for one in loads]
    arrivals, prompts, outputs = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("arrivals", "prompts", "outputs")
    )
    order = np.argsort(arrivals, kind="stable")
    names = ", ".join(one.route for one in loads)
    notes = tuple(dict.fromkeys(note for part in parts for note in part.notes))
    return Traffic(arrivals[order], prompts[order], outputs[order], f"routes {names}", notes)


def _until(traffic: Traffic, end: float) -> Traffic:
    count = max(int(np.searchsorted(traffic.arrivals, end, side="right")), min(FEW, traffic.count))
    arrivals = np.minimum(traffic.arrivals[:count], end)
    return replace(
        traffic,
        arrivals=arrivals,
        prompts=traffic.prompts[:count],
        outputs=traffic.outputs[:count],
    )
