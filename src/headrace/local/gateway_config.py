"""The fleet file as the gateway needs it: routes, queues, where to write its records."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.fleet.load import FleetFile
from headrace.gateway import control
from headrace.local.blueprint import Blueprint


def configuration(
    file: FleetFile, blueprints: Sequence[Blueprint], records: str
) -> control.Configure:
    """Return the first message to a gateway."""
    fleet = file.fleet
    return control.Configure(
        routes=tuple(
            control.Route(
                name=name,
                models=route.match.model,
                deployment=route.deployment,
                continuation=route.continuation,
                silence=route.silence,
            )
            for name, route in fleet.routes.items()
        ),
        deployments=tuple(
            control.Deployment(
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
            for one in blueprints
        ),
        records=records,
    )
