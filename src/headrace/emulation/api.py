"""The twin's HTTP surface: vLLM 0.32's paths, and `/emulate` to command its faults."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from headrace.emulation import shapes
from headrace.emulation.answer import Answer
from headrace.emulation.behaviour import Behaviour, change
from headrace.emulation.engine import TwinEngine
from headrace.emulation.request import RefusedError, check_model, read_ask, read_json
from headrace.emulation.text import decode, encode

_SIZE = 16
"""Numbers in an embedding."""


def twin_app(behaviour: Behaviour | None = None, engine: TwinEngine | None = None) -> Starlette:
    """Return a twin as an ASGI application, for tests in memory or for a server."""
    behaviour = behaviour or Behaviour()
    engine = engine or TwinEngine(behaviour)
    paths = _Paths(behaviour, engine)
    routes = [
        Route("/health", paths.health),
        Route("/ping", paths.health, methods=["GET", "POST"]),
        Route("/version", paths.version),
        Route("/v1/models", paths.models),
        Route("/metrics", paths.metrics),
        Route("/tokenize", paths.tokenize, methods=["POST"]),
        Route("/detokenize", paths.detokenize, methods=["POST"]),
        Route("/emulate", paths.emulate, methods=["GET", "POST"]),
    ]
    if behaviour.embeds:
        routes.append(Route("/v1/embeddings", paths.embeddings, methods=["POST"]))
    else:
        routes.append(Route("/v1/completions", paths.completions, methods=["POST"]))
        routes.append(Route("/v1/chat/completions", paths.chat, methods=["POST"]))
    handlers: Any = {RefusedError: _refused, 404: _plain_error, 405: _plain_error}
    app = Starlette(routes=routes, exception_handlers=handlers)
    app.state.engine = engine
    return app


class _Paths:
    def __init__(self, behaviour: Behaviour, engine: TwinEngine) -> None:
        self._behaviour = behaviour
        self._engine = engine

    async def health(self, _: Request) -> Response:
        return Response(status_code=503 if self._engine.faults.sick else 200)

    async def version(self, _: Request) -> Response:
        return JSONResponse({"version": shapes.VERSION})

    async def models(self, _: Request) -> Response:
        behaviour = self._behaviour
        return JSONResponse(shapes.model_list(behaviour.names, behaviour.max_model_len))

    async def metrics(self, _: Request) -> Response:
        kind = "text/plain; version=1.0.0; charset=utf-8"
        return Response(self._engine.metrics.text(), headers={"content-type": kind})

    async def completions(self, request: Request) -> Response:
        return await self._answer(request, chat=False)

    async def chat(self, request: Request) -> Response:
        return await self._answer(request, chat=True)

    async def _answer(self, request: Request, *, chat: bool) -> Response:
        ask = read_ask(read_json(await request.body()), self._behaviour, chat=chat)
        if self._engine.faults.fail:
            return JSONResponse(shapes.error("", "InternalServerError", 500), 500)
        return Answer(self._engine, ask)

    async def embeddings(self, request: Request) -> Response:
        body = read_json(await request.body())
        model = check_model(body, self._behaviour)
        given = body.get("input", "")
        texts = given if isinstance(given, list) else [given]
        vectors = [[0.0] * _SIZE if self._engine.faults.wrong else _vector(str(t)) for t in texts]
        tokens = sum(len(encode(str(text))) for text in texts)
        return JSONResponse(shapes.embedding(vectors, model, tokens))

    async def tokenize(self, request: Request) -> Response:
        tokens = encode(str(read_json(await request.body()).get("prompt", "")))
        size = self._behaviour.max_model_len
        counts = {"count": len(tokens), "max_model_len": size}
        return JSONResponse(counts | {"tokens": tokens, "token_strs": None})

    async def detokenize(self, request: Request) -> Response:
        return JSONResponse({"prompt": decode(read_json(await request.body()).get("tokens", []))})

    async def emulate(self, request: Request) -> Response:
        """Show the faults, or change those that the body names."""
        if request.method == "POST":
            try:
                self._engine.faults = change(self._engine.faults, await request.body())
            except msgspec.MsgspecError as wrong:
                return JSONResponse(shapes.error(str(wrong), "BadRequestError", 400), 400)
        return JSONResponse(msgspec.to_builtins(self._engine.faults))


def _vector(text: str) -> list[float]:
    return [byte / 255 - 0.5 for byte in hashlib.sha256(text.encode()).digest()[:_SIZE]]


async def _refused(_: Request, refused: Exception) -> Response:
    if not isinstance(refused, RefusedError):
        raise refused
    return JSONResponse(refused.body, refused.status)


async def _plain_error(_: Request, wrong: Exception) -> Response:
    status = getattr(wrong, "status_code", 404)
    return JSONResponse({"detail": getattr(wrong, "detail", "Not Found")}, status)
