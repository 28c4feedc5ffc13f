"""The fleet file as the gateway needs it: routes, queues, keys, where to write its records."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from headrace.gateway import control
from headrace.local.blueprint import Blueprint
from headrace.local.edition import Edition


def configuration(
    edition: Edition,
    records: str,
    keys: tuple[control.Key, ...] | None,
    keep: Sequence[Blueprint] = (),
) -> control.Configure:
    """Return the message that makes a gateway serve the edition.

    `keep` are deployments that no route leads to any more, but whose requests are still finished.
    """
    return control.Configure(
        routes=tuple(_routes(edition)),
        deployments=tuple(_deployments((*edition.blueprints, *keep))),
        keys=keys,
        records=records,
    )


def _routes(edition: Edition) -> Iterable[control.Route]:
    for name, route in edition.file.fleet.routes.items():
        yield control.Route(
            name=name,
            models=route.match.model,
            deployment=route.deployment,
            continuation=route.continuation,
            silence=route.silence,
        )


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
        )
