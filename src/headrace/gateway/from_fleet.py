"""A fleet file as a gateway needs it: routes, queues, keys, prices, where records go.

Both runtimes say it in the same way; they differ in where records are kept. `control.py` has the
message, `key_file.py` the keys.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from headrace.engines.base import Resume
from headrace.fleet.types import Deployment, Fleet, Gateway, Price
from headrace.gateway import control
from headrace.routing.from_fleet import routes_of


class Spoken(Protocol):
    """What the gateway must know of an engine: how it streams, and goes on with an answer."""

    @property
    def stream_usage(self) -> bool:
        """Whether a stream can be asked for its token counts."""
        ...

    @property
    def resume(self) -> Resume:
        """How it can go on with an answer that another replica began."""
        ...


class Served(Protocol):
    """A deployment with its engine."""

    @property
    def name(self) -> str:
        """The deployment's name."""
        ...

    @property
    def deployment(self) -> Deployment:
        """What the file says of it, with nothing left open."""
        ...

    @property
    def engine(self) -> Spoken:
        """Its engine, in its version."""
        ...


@dataclass(frozen=True)
class Files:
    """Where a gateway writes: records of requests, and what keys and routes have used."""

    requests: Path
    usage: Path


def configuration(
    fleet: Fleet, served: Iterable[Served], files: Files, keys: tuple[control.Key, ...] | None
) -> control.Configure:
    """Return the message that makes a gateway serve the fleet; `keys` None: nobody is asked."""
    written = fleet.gateway
    return control.Configure(
        routes=routes_of(fleet),
        deployments=tuple(_deployment(one) for one in served),
        keys=keys,
        store=_store(files.requests, written),
        usage=str(files.usage),
        traces=written.traces.endpoint if written.traces else None,
    )


def _store(path: Path, written: Gateway) -> control.Store:
    kept = written.records
    return control.Store(path=str(path), max_age=kept.max_age, max_size=kept.max_size)


def _deployment(one: Served) -> control.Deployment:
    written = one.deployment
    return control.Deployment(
        name=one.name,
        queue_limit=written.queue.limit,
        max_wait=written.queue.max_wait,
        stream_usage=one.engine.stream_usage,
        resume=control.Resume(
            chat=one.engine.resume.chat,
            token_ids=one.engine.resume.token_ids,
            context=written.max_model_len,
        ),
        adapters=tuple(written.adapters),
        price=_price(written.price),
        balancing=control.Balancing(
            written.balancing.prefix_affinity, written.balancing.slow_start
        ),
    )


def _price(written: Price | None) -> control.Price | None:
    if written is None:
        return None
    cached = written.input if written.cached is None else written.cached
    return control.Price(written.input, cached, written.output)
