"""What the gateway itself answers when it cannot serve: one table of failures in OpenAI's shape.

Every failure has a `kind` (for metrics and records), a status, and a sentence that says what is
wrong and what to do. Before the answer has begun it is an HTTP response; after, an in-band event.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import msgspec

INVALID = "invalid_request_error"


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why a request is not served. `retry_after` is in seconds."""

    status: int
    kind: str
    message: str
    type: str = INVALID
    param: str | None = None
    retry_after: int | None = None
    allow: str | None = None

    def body(self) -> bytes:
        """Return OpenAI's error object."""
        return msgspec.json.encode(self._shape())

    def event(self) -> bytes:
        """Return the same as a server-sent event."""
        return b"data: " + self.body() + b"\n\n"

    def _shape(self) -> dict[str, Any]:
        error = {"message": self.message, "type": self.type, "param": self.param, "code": self.kind}
        return {"error": error}


def bad_request(message: str, *, param: str | None = None) -> Failure:
    """400: the request itself is wrong."""
    return Failure(status=400, kind="bad_request", message=message, param=param)


def malformed_http(why: str) -> Failure:
    """400: the bytes are not HTTP/1.1 as the standard has it."""
    message = f"The request is not valid HTTP/1.1: {why}."
    return Failure(status=400, kind="malformed_http", message=message)


def of_status(status: int, kind: str, message: str) -> Failure:
    """Return a client error with a status of its own."""
    return Failure(status=status, kind=kind, message=message)


def no_such_path(path: str, method: str, allow: str | None) -> Failure:
    """404 for an unknown path, 405 for a known one with another method."""
    if allow is None:
        message = f"Unknown path {path[:200]}. The API is at /v1 (see /v1/models)."
        return Failure(status=404, kind="not_found", message=message)
    message = f"{path} takes {allow}, not {method}."
    return Failure(status=405, kind="method_not_allowed", message=message, allow=allow)


def model_not_found(model: str, aliases: list[str], nearest: str | None) -> Failure:
    """404: no route has this model."""
    served = ", ".join(aliases) or "none"
    guess = f" Did you mean {nearest!r}?" if nearest else ""
    message = f"The model {model[:200]!r} is not served here.{guess} Served: {served}."
    return Failure(status=404, kind="model_not_found", message=message, param="model")


def no_route(model: str, reasons: list[str], aliases: list[str]) -> Failure:
    """404: routes have this model, but none takes this request."""
    message = (
        f"No route for {model[:200]!r} takes this request: {'. '.join(reasons)}. "
        f"Served: {', '.join(aliases)}."
    )
    return Failure(status=404, kind="no_route", message=message, param="model")


def shed(deployment: str, retry_after: int) -> Failure:
    """503: a more important request took its place in a full queue."""
    message = f"The queue of {deployment} is full, and more important requests came."
    return _unavailable("shed", message, retry_after)


def hopeless(deployment: str, wait: float, retry_after: int) -> Failure:
    """503: it would wait longer than it may, so it does not wait at all. `wait` is in seconds."""
    message = f"The wait for {deployment} would be about {wait:.0f} s, longer than a request may."
    return _unavailable("would_wait_too_long", message, retry_after)


def queue_full(deployment: str, limit: int, retry_after: int) -> Failure:
    """429: as many wait as may."""
    message = (
        f"The queue of {deployment} is full ({limit} waiting). Retry after {retry_after} s, "
        "or raise the deployment's queue limit or its number of replicas."
    )
    return Failure(
        status=429, kind="queue_full", message=message, type="rate_limit_error",
        retry_after=retry_after,
    )  # fmt: skip


def waited_too_long(deployment: str, waited: float, hint: str, retry_after: int) -> Failure:
    """503: nothing could take the request in time. `waited` is in seconds."""
    why = hint or "all replicas were busy"
    message = f"No replica of {deployment} took the request within {waited:.0f} s: {why}."
    return _unavailable("waited_too_long", message, retry_after)


def removed(deployment: str) -> Failure:
    """503: the deployment was taken away while the request waited."""
    return _unavailable("removed", f"{deployment} was removed while the request waited.", 5)


def drain_timeout() -> Failure:
    """503: the gateway's time to finish running work is over."""
    return _unavailable("drain_timeout", "The gateway shut down before the request was done.", 1)


def too_many_connections(limit: int) -> Failure:
    """503: this gateway holds as many connections as it may."""
    return _unavailable("too_many_connections", f"More than {limit} connections are open.", 1)


def too_much_in_flight(limit: int) -> Failure:
    """503: the bodies of all requests in the gateway together are as large as they may be."""
    message = f"The gateway holds {limit} bytes of request bodies, as many as it may. Retry soon."
    return _unavailable("too_much_in_flight", message, 1)


def took_too_long(limit: float) -> Failure:
    """504: the request has been in the gateway for as long as one may. `limit` is in seconds."""
    message = f"The request was not done within {limit:g} s, the longest that one may take."
    return Failure(
        status=504, kind="took_too_long", message=message, type="service_unavailable_error"
    )


def no_key() -> Failure:
    """401: this gateway wants a key and got none."""
    return _unauthorized("No API key was given: send `Authorization: Bearer` and your key.")


def wrong_key() -> Failure:
    """401: a key that is not known. It is not repeated: answers end up in logs."""
    return _unauthorized("The API key is not one that this gateway knows.")


def key_limit(limit: int) -> Failure:
    """429: the key has as many requests in the gateway as it may."""
    message = f"This API key may have {limit} requests at once and has them. Retry when one ends."
    return Failure(
        status=429, kind="key_limit", message=message, type="rate_limit_error", retry_after=1
    )


def upstream(kind: str, message: str) -> Failure:
    """502: replicas failed to serve the request."""
    return Failure(status=HTTPStatus.BAD_GATEWAY, kind=kind, message=message, type="upstream_error")


def _unauthorized(message: str) -> Failure:
    return Failure(status=401, kind="invalid_api_key", message=message)


def _unavailable(kind: str, message: str, retry_after: int) -> Failure:
    return Failure(
        status=503, kind=kind, message=message, type="service_unavailable_error",
        retry_after=retry_after,
    )  # fmt: skip
