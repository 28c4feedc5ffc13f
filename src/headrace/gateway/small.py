"""The answers that the gateway gives itself: models, health, metrics, its own description.

The admin address has health, metrics, the demand of each deployment, which a cluster's scaler
reads several times a second, and what counts for limits, which other gateways read as often. The
public one has the API and health; metrics it has only where there is no admin address (benchmarks
and tests start such gateways).
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
_ADMIN = _HEALTH | _METRICS | {"/demand", "/usage"}
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
            return _ADMIN
        return _HEALTH | _PUBLIC if self._gateway.has_admin else _HEALTH | _PUBLIC | _METRICS

    def _get(self, path: str) -> Answer | Failure:
        match path:
            case "/v1/models":
                return 200, _JSON, self._models()
            case "/healthz":
                return 200, _TEXT, b"ok\n"
            case "/readyz":
                return self._readiness()
            case "/demand" | "/usage" | "/metrics":
                return self._figures(path)
            case "/openapi.json":
                return 200, _JSON, openapi.DESCRIPTION
        return self._one_model(unquote(path.removeprefix(_MODEL)))

    def _figures(self, path: str) -> Answer:
        if path == "/demand":
            return 200, _JSON, msgspec.json.encode(self._gateway.demands())
        if path == "/usage":
            return 200, _JSON, msgspec.json.encode(self._gateway.director.ledger.spending())
        return 200, _EXPOSITION, self._gateway.metrics.render()

    def _models(self) -> bytes:
        models = [self._model(alias) for alias in self._gateway.director.aliases]
        return msgspec.json.encode({"object": "list", "data": models})

    def _readiness(self) -> Answer:
        gateway = self._gateway
        if gateway.draining:
            return 503, _TEXT, b"draining\n"
        if not gateway.configured:
            return 503, _TEXT, b"not configured\n"
        return (200, _TEXT, b"ok\n") if gateway.synced else (503, _TEXT, b"not synced\n")

    def _one_model(self, name: str) -> Answer | Failure:
        director = self._gateway.director
        if name not in director.aliases:
            return errors.model_not_found(name, director.aliases, director.routes.nearest(name))
        return 200, _JSON, msgspec.json.encode(self._model(name))

    def _model(self, alias: str) -> dict[str, str | int]:
        """Build OpenAI's model object."""
        return {"id": alias, "object": "model", "created": self._since, "owned_by": "headrace"}
