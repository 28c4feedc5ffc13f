"""A client's request as a replica gets it: newly framed, and with as few changes as possible.

The body names the model as the engine knows it, asks a stream for token counts or ids, and has a
bound on the answer where a limit sets one and the client did not. `heads.py` writes the head.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from headrace.gateway import heads
from headrace.gateway.request import asking_for, bounded, renamed

if TYPE_CHECKING:
    from headrace.gateway.continuation import Resumption
    from headrace.gateway.request import Request


class Changes(NamedTuple):
    """What is changed: `model` is the engine's name, None if the client's is one.

    `usage` and `ids` are asked for; `output` bounds the answer, in tokens; `traceparent` is ours.
    """

    model: str | None = None
    usage: bool = False
    ids: bool = False
    output: int | None = None
    traceparent: bytes | None = None


def outgoing(
    request: Request, rest: Resumption | None, host: bytes, changes: Changes
) -> Sequence[bytes | memoryview]:
    """Return the bytes for a replica: of the whole request, or of the `rest` of a broken stream."""
    target, body = (rest.path.encode(), rest.body) if rest else (request.target, request.body)
    if changes.model is not None:
        body = renamed(body, changes.model)
    if changes.output is not None and rest is None:
        body = bounded(body, changes.output)
    parts = asking_for(body, usage=changes.usage, ids=changes.ids)
    fields = request.headers
    if changes.traceparent is not None:
        fields = [field for field in fields if field[0] != b"traceparent"]
        fields.append((b"traceparent", changes.traceparent))
    length = sum(map(len, parts))
    head = heads.to_engine(
        request.method, target, fields, host=host, length=length, request_id=request.id
    )
    return (head, *parts)


def name_for(alias: str, names: Sequence[str], adapters: Sequence[str]) -> str | None:
    """Return what to call the model at an engine that knows `names`; None: as the client does.

    An adapter is a name of its own.
    """
    if not names or alias in names or alias in adapters:
        return None
    return names[0]
