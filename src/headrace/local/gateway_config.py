"""The fleet file as the gateway needs it: routes, queues, keys, prices, where records go."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from headrace.fleet.types import Gateway, Price
from headrace.gateway import control
from headrace.local.blueprint import Blueprint
from headrace.local.edition import Edition
from headrace.local.state import StateDir
from headrace.routing.from_fleet import routes_of


def configuration(
    edition: Edition,
    state: StateDir,
    keys: tuple[control.Key, ...] | None,
    keep: Sequence[Blueprint] = (),
) -> control.Configure:
    """Return the message that makes a gateway serve the edition.

    `keep` are deployments that no route leads to any more, but whose requests are still finished.
    """
    written = edition.file.fleet.gateway
    return control.Configure(
        routes=routes_of(edition.file.fleet),
        deployments=tuple(_deployments((*edition.blueprints, *keep))),
        keys=keys,
        store=_store(state, written),
        usage=str(state.usage),
        traces=written.traces.endpoint if written.traces else None,
    )


def _store(state: StateDir, written: Gateway) -> control.Store:
    kept = written.records
    return control.Store(path=str(state.requests), max_age=kept.max_age, max_size=kept.max_size)


def _deployments(blueprints: Iterable[Blueprint]) -> Iterable[control.Deployment]:
    for one in blueprints:
        yield control.Deployment(
            name=one.name,
            queue_limit=one.deployment.queue.limit,
            max_wait=one.deployment.queue.max_wait,
            stream_usage=one.engine.stream_usage,
            resume=control.Resume(
                chat=one.engine.resume.chat,
                token_ids=one.engine.resume.token_ids,
                context=one.deployment.max_model_len,
            ),
            adapters=tuple(one.deployment.adapters),
            price=_price(one.deployment.price),
            balancing=control.Balancing(
                one.deployment.balancing.prefix_affinity, one.deployment.balancing.slow_start
            ),
        )


def _price(written: Price | None) -> control.Price | None:
    if written is None:
        return None
    cached = written.input if written.cached is None else written.cached
    return control.Price(written.input, cached, written.output)
