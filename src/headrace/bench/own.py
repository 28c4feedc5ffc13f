"""What engines, gateway and client said of themselves while a run lasted, as figures.

Gauges are looked at while counted requests were under way. Counters are what was added from the
last look before them to the first look after them, so the warm-up counts only where no look fell
in between. A counter that falls has begun anew (the process was restarted): what it shows then was
added since, as it is with an engine that came during the run. A figure that the samples do not
have is None, never 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import msgspec

from headrace.bench.samples import Sample


class Level(msgspec.Struct, frozen=True):
    """A gauge over the run: the mean of its looks, and the most."""

    mean: float
    max: float


class Engine(msgspec.Struct, frozen=True, kw_only=True):
    """One engine by its own metrics: requests, shares (kv_usage 0..1), mean seconds, tokens."""

    source: str
    looks: int
    failed_looks: int
    error: str = ""
    """Why the last look that failed did."""
    restarts: int
    running: Level | None = None
    waiting: Level | None = None
    kv_usage: Level | None = None
    ttft: float | None = None
    tpot: float | None = None
    itl: float | None = None
    e2e: float | None = None
    ttft_count: float | None = None
    prompt_tokens: float | None = None
    generation_tokens: float | None = None
    preemptions: float | None = None
    hit_share: float | None = None
    success: float | None = None


class Gateway(msgspec.Struct, frozen=True, kw_only=True):
    """The gateway by its own metrics, summed over routes and deployments; mean seconds."""

    looks: int
    failed_looks: int
    error: str = ""
    """As an engine's."""
    held: Level | None = None
    queued: Level | None = None
    running: Level | None = None
    ttft: float | None = None
    tpot: float | None = None
    held_seconds: float | None = None
    queued_seconds: float | None = None
    requests: float | None = None
    errors: float | None = None
    continuations: float | None = None


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """The load generator's own processes: share of a core, and its event loop's lag in seconds."""

    looks: int
    cpu: Level | None = None
    lag: Level | None = None


class Own(msgspec.Struct, frozen=True, kw_only=True):
    """All of it; None of what nobody looked at."""

    engines: list[Engine]
    gateway: Gateway | None = None
    client: Client | None = None


def own(samples: Sequence[Sample], start: float, end: float) -> Own:
    """Return the figures between two times, in seconds from the run's beginning."""
    sources = sorted({one.source for one in samples})
    around = {
        source: _around([one for one in samples if one.source == source], start, end)
        for source in sources
    }
    client = [one for source in sources if source.startswith("client") for one in around[source]]
    return Own(
        engines=[
            _engine(name, around[name], start) for name in sources if name.startswith("engine")
        ],
        gateway=_gateway(around["gateway"]) if "gateway" in around else None,
        client=_client(client) if client else None,
    )


def level(values: Iterable[float | None]) -> Level | None:
    """Return mean and most of what there is."""
    known = [value for value in values if value is not None]
    return Level(sum(known) / len(known), max(known)) if known else None


def summed(one: Sample, name: str, label: str = "") -> float | None:
    """Return a gateway's metric, summed over its labels; `label` must be among them."""
    found = [
        value
        for series, value in one.values.items()
        if series.partition("{")[0] == name and label in series
    ]
    return sum(found) if found else None


def added(values: Iterable[float | None]) -> float | None:
    """Return by how much a counter grew; None where it was not seen twice."""
    known = [value for value in values if value is not None]
    if len(known) < 2:  # noqa: PLR2004 - growth is between two
        return None
    return sum(after - before if after >= before else after for before, after in pairwise(known))


def _around(samples: Sequence[Sample], start: float, end: float) -> list[Sample]:
    """Return the looks between two times, with the last before and the first after."""
    ordered = sorted(samples, key=lambda one: one.at)
    good = [one for one in ordered if not one.error]
    before = [one for one in good if one.at <= start][-1:]
    after = [one for one in good if one.at >= end][:1]
    first, last = (edge[0].at if edge else at for edge, at in ((before, start), (after, end)))
    return [one for one in ordered if first <= one.at <= last]


def _engine(source: str, samples: Sequence[Sample], start: float) -> Engine:
    good = [one for one in samples if not one.error]

    def column(name: str) -> list[float | None]:
        return [one.values.get(name) for one in good]

    def counter(name: str) -> list[float | None]:
        values: list[float | None] = []
        for one in good:
            zero = [0.0] if one.new and one.at > start else []
            values += [*zero, one.values.get(name)]
        return values

    def mean(name: str) -> float | None:
        return ratio(added(counter(f"{name}_sum")), added(counter(f"{name}_count")))

    return Engine(
        source=source.removeprefix("engine:"),
        looks=len(samples),
        failed_looks=len(samples) - len(good),
        error=_last_error(samples),
        restarts=_falls(counter("generation_tokens")),
        running=level(column("running")),
        waiting=level(column("waiting")),
        kv_usage=level(column("kv_usage")),
        ttft=mean("ttft"),
        tpot=mean("tpot"),
        itl=mean("itl"),
        e2e=mean("e2e"),
        ttft_count=added(counter("ttft_count")),
        prompt_tokens=added(counter("prompt_tokens")),
        generation_tokens=added(counter("generation_tokens")),
        preemptions=added(counter("preemptions")),
        hit_share=ratio(added(counter("prefix_hits")), added(counter("prefix_queries"))),
        success=added(counter("success")),
    )


def _gateway(samples: Sequence[Sample]) -> Gateway:
    good = [one for one in samples if not one.error]

    def column(name: str, label: str = "") -> list[float | None]:
        return [summed(one, f"headrace_{name}", label) for one in good]

    def mean(name: str, label: str = "") -> float | None:
        pair = (added(_from_zero(column(f"{name}_{part}", label))) for part in ("sum", "count"))
        return ratio(*pair)

    def total(name: str) -> float | None:
        return added(_from_zero(column(name)))

    return Gateway(
        looks=len(samples),
        failed_looks=len(samples) - len(good),
        error=_last_error(samples),
        held=level(column("held")),
        queued=level(column("queued")),
        running=level(column("running")),
        ttft=mean("ttft_seconds"),
        tpot=mean("tpot_seconds"),
        held_seconds=mean("wait_seconds", 'kind="held"'),
        queued_seconds=mean("wait_seconds", 'kind="queued"'),
        requests=total("requests_total"),
        errors=total("errors_total"),
        continuations=total("continuations_total"),
    )


def _last_error(samples: Sequence[Sample]) -> str:
    return next((one.error for one in reversed(samples) if one.error), "")


def _client(samples: Sequence[Sample]) -> Client:
    return Client(
        looks=len(samples),
        cpu=level(one.values.get("cpu") for one in samples),
        lag=level(one.values.get("lag") for one in samples),
    )


def _from_zero(values: Sequence[float | None]) -> Sequence[float | None]:
    """Return a labelled counter with zeros before its first series: until then nothing happened."""
    return values if all(value is None for value in values) else [value or 0.0 for value in values]


def _falls(values: Iterable[float | None]) -> int:
    known = [value for value in values if value is not None]
    return sum(after < before for before, after in pairwise(known))


def ratio(some: float | None, of: float | None) -> float | None:
    """Return a ratio where it can be said."""
    return some / of if some is not None and of else None
