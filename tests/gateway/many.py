"""Several deployments and routes in one gateway, for tests that the plain rig is too small for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness import Engine, Rig, Wire, soon
from msgspec import structs

from headrace.gateway import control
from headrace.routing.route import Range, Route, Rule, Variant

NEAR = Rule(models=("m",), prompt=Range(most=110))
"""A bound at which a prompt of `CLOSE` has to be counted: 400 bytes are about 100 tokens."""
CLOSE = "x" * 360


def chat(text: str = "hello", **more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": text}], **more}


def to(deployment: str, name: str = "r", *models: str, **more: Any) -> Route:
    """Return a route that leads to one deployment, for the alias `m` unless others are named."""
    rule = more.pop("rule", Rule(models=models or ("m",)))
    return Route(name=name, rule=rule, variants=(Variant(deployment, 1),), **more)


def configure(
    it: Rig, routes: Sequence[Route], *, settings: dict[str, dict[str, Any]] | None = None,
    **more: Any,
) -> None:  # fmt: skip
    """Give the gateway these routes, and the deployments that they lead to."""
    names = dict.fromkeys(name for route in routes for name in route.deployments)
    deployments = [
        structs.replace(
            control.Deployment(name=name, queue_limit=100, max_wait=60.0),
            **(settings or {}).get(name, {}),
        )
        for name in names
    ]
    store = control.Store(path=str(it.records)) if it.records else None
    it.gateway.configure(
        control.Configure(routes=tuple(routes), deployments=tuple(deployments), store=store, **more)
    )


def serve(it: Rig, deployment: str, *engines: Engine, room: int = 8, **more: Any) -> None:
    """Say that these engines are the deployment's replicas."""
    fields = {name: more.pop(name) for name in ("names", "cache", "adapter_room") if name in more}
    it.gateway.set_replicas(
        control.Replicas(
            deployment=deployment,
            replicas=tuple(
                control.Replica(
                    id=f"{deployment}-{number}", host="127.0.0.1", port=one.port, room=room,
                    **fields,
                )
                for number, one in enumerate(engines, 1)
            ),
            **more,
        )
    )  # fmt: skip


async def answer(one: Engine, **fields: Any) -> str:
    """Answer the next request of an engine; return the body that it got."""
    asked = await one.next()
    usage = {"prompt_tokens": 10, "completion_tokens": 5}
    asked.answer_json({"choices": [], "usage": usage, **fields})
    return asked.body


async def hung_up(wire: Wire) -> None:
    assert await soon(wire.reader.read()) == b""
