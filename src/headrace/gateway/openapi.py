"""The gateway's description of itself (OpenAPI 3.1), as far as the gateway itself knows its API.

Bodies may have any further field: what they mean is the engine's affair. Every status that the
gateway gives is listed, so that tools (schemathesis in the tests) can hold it to its word.
"""

from __future__ import annotations

from typing import Any

import msgspec

_ERROR_STATUSES = {
    400: "The request is malformed: as HTTP, as JSON, or in a field that routing needs.",
    401: "No API key, or one that is not known.",
    404: "No route has this model.",
    408: "The request did not arrive in time.",
    411: "The request has no length.",
    413: "The body is too large.",
    415: "The body is not plain JSON.",
    417: "Only `Expect: 100-continue` is known.",
    429: "The queue is full, or the key has all the requests that it may have.",
    431: "The head is too large.",
    502: "The engines failed; see `code`.",
    503: "It waited too long, or the gateway is full or shutting down; see `Retry-After`.",
    504: "It took longer than a request may.",
}
_SMALL = (400, 401, 408, 411, 413, 417, 429, 431, 503)
_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": "string"},
            },
        }
    },
}
_MODEL = {
    "type": "object",
    "required": ["id", "object", "created", "owned_by"],
    "properties": {
        "id": {"type": "string"},
        "object": {"const": "model"},
        "created": {"type": "integer"},
        "owned_by": {"type": "string"},
    },
}
_LIST = {
    "type": "object",
    "required": ["object", "data"],
    "properties": {
        "object": {"const": "list"},
        "data": {"type": "array", "items": {"$ref": "#/components/schemas/Model"}},
    },
}
_REQUEST = {
    "type": "object",
    "required": ["model"],
    "properties": {
        "model": {"type": "string", "minLength": 1, "maxLength": 256},
        "stream": {"type": ["boolean", "null"], "default": False},
    },
    "additionalProperties": True,
}


def _json(schema: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}


def _refusals(statuses: tuple[int, ...] | dict[int, str]) -> dict[str, Any]:
    return {
        str(status): {"description": _ERROR_STATUSES[status], "content": _json("Error")}
        for status in statuses
    }


def _inference(name: str, summary: str, *, streams: bool) -> dict[str, Any]:
    content: dict[str, Any] = {"application/json": {"schema": {"type": "object"}}}
    if streams:
        content["text/event-stream"] = {"schema": {"type": "string"}}
    good = {"description": "The engine's answer.", "content": content}
    return {
        "post": {
            "operationId": name,
            "summary": summary,
            "requestBody": {"required": True, "content": _json("Request")},
            "responses": {"200": good, **_refusals(_ERROR_STATUSES)},
        }
    }


def _get(name: str, schema: str, statuses: tuple[int, ...], **more: Any) -> dict[str, Any]:
    good = {"description": "As OpenAI has it.", "content": _json(schema)}
    responses = {"200": good, **_refusals(statuses)}
    return {"get": {"operationId": name, "responses": responses, **more}}


def _health(name: str, *statuses: str) -> dict[str, Any]:
    text = {"description": "In words.", "content": {"text/plain": {"schema": {"type": "string"}}}}
    responses = {**_refusals(_SMALL), **dict.fromkeys(statuses, text)}
    return {"get": {"operationId": name, "security": [], "responses": responses}}


def describe() -> dict[str, Any]:
    """Return the whole description."""
    model_name = {
        "name": "model",
        "in": "path",
        "required": True,
        "schema": {"type": "string", "minLength": 1},
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Headrace gateway",
            "version": "1",
            "description": "OpenAI's API. Fields not listed here go to the engine as they are.",
        },
        "security": [{"bearer": []}, {"header": []}, {}],
        "paths": {
            "/v1/chat/completions": _inference("chat", "Continue a conversation.", streams=True),
            "/v1/completions": _inference("complete", "Continue a text.", streams=True),
            "/v1/embeddings": _inference("embed", "Embed texts.", streams=False),
            "/v1/models": _get("models", "Models", _SMALL),
            "/v1/models/{model}": _get("model", "Model", (*_SMALL, 404), parameters=[model_name]),
            "/healthz": _health("healthz", "200"),
            "/readyz": _health("readyz", "200", "503"),
        },
        "components": {
            "schemas": {"Error": _ERROR, "Model": _MODEL, "Models": _LIST, "Request": _REQUEST},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "header": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            },
        },
    }


DESCRIPTION = msgspec.json.encode(describe())
"""The same as the bytes of `GET /openapi.json`."""
