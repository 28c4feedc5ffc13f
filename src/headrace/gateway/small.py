"""The answers that the gateway gives itself: models, health, metrics, its own description.

The admin address has health and metrics. The public one has the API and health; metrics it has
only where there is no admin address (benchmarks and tests start such gateways).
"""

from __future__ import annotations

from time import time
from typing import TYPE_CHECKING
from urllib.parse import unquote

import msgspec

from headrace.gateway import errors, openapi
from headrace.gateway.errors import Failure

if TYPE_CHECKING:
    from headrace.gateway.gateway import Gateway
    from headrace.gateway.request import Headers, Request
    from headrace.gateway.server import Client

API = frozenset(("/v1/chat/completions", "/v1/completions", "/v1/embeddings"))
"""What deployments serve."""
_HEALTH = frozenset(("/healthz", "/readyz"))
_PUBLIC = frozenset(("/v1/models", "/openapi.json"))
_METRICS = frozenset(("/metrics",))
_MODEL = "/v1/models/"
_JSON = (b"content-type", b"application/json")
_TEXT = (b"content-type", b"text/plain; charset=utf-8")
_EXPOSITION = (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")

Answer = tuple[int, tuple[bytes, bytes], bytes]
"""Status, content type, body."""


class SmallAnswers:
    """Serves everything that no deployment does."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._since = int(time())

    def serve(self, client: Client, request: Request, path: str) -> None:
        """Answer at once, be it that there is no such path or method."""
        ident: Headers = [(b"x-request-id", request.id.encode())]
        answer = self._answer(client, request, path)
        if isinstance(answer, Failure):
            self._gateway.metrics.of(None, None).refused(answer.kind)
            client.refuse(answer, ident)
        else:
            status, kind, body = answer
            client.respond(status, [kind, *ident], body)

    def _answer(self, client: Client, request: Request, path: str) -> Answer | Failure:
        known = self._known(client)
        if path in known or (path.startswith(_MODEL) and not client.admin):
            if request.method in (b"GET", b"HEAD"):
                return self._get(path)
            return errors.no_such_path(path, request.method.decode("ascii"), "GET, HEAD")
        allow = "POST" if path in API and not client.admin else None
        return errors.no_such_path(path, request.method.decode("ascii"), allow)

    def _known(self, client: Client) -> frozenset[str]:
        if client.admin:
            return _HEALTH | _METRICS
        return _HEALTH | _PUBLIC if self._gateway.has_admin else _HEALTH | _PUBLIC | _METRICS

    def _get(self, path: str) -> Answer | Failure:
        if path == "/v1/models":
            models = [self._model(alias) for alias in self._gateway.director.aliases]
            return 200, _JSON, msgspec.json.encode({"object": "list", "data": models})
        if path == "/healthz":
            return 200, _TEXT, b"ok\n"
        if path == "/readyz":
            return self._readiness()
        if path == "/metrics":
            return 200, _EXPOSITION, self._gateway.metrics.render()
        if path == "/openapi.json":
            return 200, _JSON, openapi.DESCRIPTION
        return self._one_model(unquote(path.removeprefix(_MODEL)))

    def _readiness(self) -> Answer:
        gateway = self._gateway
        if gateway.draining:
            return 503, _TEXT, b"draining\n"
        return (200, _TEXT, b"ok\n") if gateway.configured else (503, _TEXT, b"not configured\n")

    def _one_model(self, name: str) -> Answer | Failure:
        director = self._gateway.director
        if name not in director.aliases:
            return errors.model_not_found(name, director.aliases, director.routes.nearest(name))
        return 200, _JSON, msgspec.json.encode(self._model(name))

    def _model(self, alias: str) -> dict[str, str | int]:
        """Build OpenAI's model object."""
        return {"id": alias, "object": "model", "created": self._since, "owned_by": "headrace"}
