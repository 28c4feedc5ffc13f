"""HTTP with our manners: bounded retries, no secrets to strangers, errors in plain words.

`fetch_http.py` fetches files with it, `fetch_hub.py` asks a hub with it.
"""

from __future__ import annotations

import random
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx
import msgspec

from headrace.models.errors import (
    AccessError,
    FormatError,
    MissingError,
    RefusedError,
    SourceError,
    TransferError,
)
from headrace.models.progress import Listener, Progress

_MAX_HOPS = 8
_MAX_DOCUMENT = 64 << 20  # bytes; the listing of a large repository is some 100 kB
_TIMEOUT = httpx.Timeout(30.0, connect=15.0)  # seconds without a byte, not for the whole file
_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
_REFUSED = frozenset({401, 403, 407})
_GONE = frozenset({404, 410})

T = TypeVar("T")


class Again(Exception):  # noqa: N818 - it is a signal to the retry loop and never leaves this room
    """This attempt failed, another may not; `asked` is the server's Retry-After in seconds."""

    def __init__(self, reason: str, asked: float = 0.0) -> None:
        super().__init__(reason)
        self.asked = asked


@dataclass(frozen=True)
class Retry:
    """How to go on after failures: at most `attempts` in a row without a new byte.

    The pause between them is `base * 2**n` seconds, at most `cap`, times a random factor from 0.5
    to 1, so that many machines do not come back in step; a server's Retry-After is respected up to
    `patience` seconds.
    """

    attempts: int = 6
    base: float = 0.5
    cap: float = 20.0
    patience: float = 120.0

    def pause(self, failures: int, asked: float) -> float:
        """Return the seconds to wait after so many failures in a row."""
        backoff = min(self.cap, self.base * 2.0 ** (failures - 1))
        jitter = random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing
        return max(backoff * jitter, min(asked, self.patience))


@dataclass(frozen=True)
class Web:
    """An HTTP client with one set of headers, sent only to the host that was asked first.

    `hint` completes the message of a 401 or 403.
    """

    client: httpx.Client
    headers: Mapping[str, str] = field(default_factory=dict)
    retry: Retry = field(default_factory=Retry)
    hint: str = "https:// sources have no credentials; use a mirror that needs none"

    def json(self, url: str, progress: Listener) -> Any:
        """Get a JSON document of bounded size."""

        def attempt() -> bytes:
            with self.open(url, {}) as response:
                return _read_bounded(response)

        body = self.persist(attempt, url, progress)
        try:
            return msgspec.json.decode(body)
        except (msgspec.DecodeError, RecursionError) as error:
            raise FormatError(f"{host_of(url)} answered with something that is no JSON") from error

    def persist(
        self,
        attempt: Callable[[], T],
        item: str,
        progress: Listener,
        made: Callable[[], int] = lambda: 0,
    ) -> T:
        """Repeat an attempt that raises Again; new bytes, as `made` counts them, are progress."""
        failures, best = 0, made()
        while True:
            try:
                return attempt()
            except Again as again:
                failures = 1 if made() > best else failures + 1
                best = max(best, made())
                if failures >= self.retry.attempts:
                    raise TransferError(
                        f"{item}: {again}; gave up after {failures} attempts without progress "
                        "(what was fetched so far is kept, and the next pull continues there)"
                    ) from again
                pause = self.retry.pause(failures, again.asked)
                note = f"{again}; next attempt in {pause:.1f} s"
                progress(Progress("retry", item, made(), None, note))
                time.sleep(pause)

    @contextmanager
    def open(self, url: str, headers: Mapping[str, str]) -> Iterator[httpx.Response]:
        """Open a URL and follow its redirects; the response is 200, 206 or 416.

        Raises Again for what may pass, SourceError and its kinds for what will not.
        """
        identity = {"Accept-Encoding": "identity"}  # we want the file's own bytes
        try:
            response = self._send(url, {**self.headers, **identity, **headers})
            try:
                _check_status(response, self.hint)
                yield response
            finally:
                response.close()
        except httpx.InvalidURL as error:
            raise SourceError(f"{url}: {error}") from error
        except httpx.TransportError as error:
            raise _translate(error, url) from error

    def _send(self, url: str, headers: Mapping[str, str]) -> httpx.Response:
        request = self.client.build_request("GET", url, headers=headers)
        for _ in range(_MAX_HOPS):
            # httpx drops Authorization when the next request goes to another origin.
            response = self.client.send(request, stream=True, follow_redirects=False)
            if response.next_request is None:
                return response
            response.close()
            if request.url.scheme == "https" and response.next_request.url.scheme != "https":
                raise RefusedError(
                    f"{request.url.host} sends us from https:// on to "
                    f"{response.next_request.url.scheme}:// at {response.next_request.url.host}; "
                    "weights are not fetched unencrypted"
                )
            request = response.next_request
        raise SourceError(f"{host_of(url)} redirects in circles")


@contextmanager
def open_client() -> Iterator[httpx.Client]:
    """Open a client; proxies and certificates come from the usual environment variables.

    These are HTTPS_PROXY, NO_PROXY and SSL_CERT_FILE.
    """
    try:
        client = httpx.Client(timeout=_TIMEOUT, headers={"User-Agent": "headrace"})
    except (ValueError, OSError, httpx.InvalidURL) as error:
        raise TransferError(
            f"the proxy or certificate settings in the environment are wrong: {error}"
        ) from error
    with client:
        yield client


def host_of(url: str) -> str:
    """Return the host of a URL, which is all of it that belongs into most messages."""
    return httpx.URL(url).host


def _read_bounded(response: httpx.Response) -> bytes:
    body = bytearray()
    for chunk in response.iter_bytes():
        body += chunk
        if len(body) > _MAX_DOCUMENT:
            raise FormatError(f"{response.url.host} sent more than {_MAX_DOCUMENT:,} bytes of JSON")
    return bytes(body)


def _check_status(response: httpx.Response, hint: str) -> None:
    code, place = response.status_code, f"{response.url.host}{response.url.path}"
    if code in (200, 206, 416):
        return
    if code in _AGAIN:
        raise Again(f"{response.url.host} answered {code}", _retry_after(response))
    if code in _REFUSED:
        raise AccessError(f"{place}: access refused ({code}); {hint}")
    if code in _GONE:
        raise MissingError(f"{place}: not found ({code}); check the name and the revision")
    raise SourceError(f"{place}: unexpected answer {code}")


def _retry_after(response: httpx.Response) -> float:
    value = response.headers.get("Retry-After", "")
    return float(value) if value.isascii() and value.isdigit() else 0.0


def _translate(error: httpx.TransportError, url: str) -> Exception:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return TransferError(
                f"{host_of(url)}: its certificate is not trusted ({cause.verify_message}); "
                "if your network has its own authority, set SSL_CERT_FILE to its certificates"
            )
        cause = cause.__cause__ or cause.__context__
    what = "timed out" if isinstance(error, httpx.TimeoutException) else str(error)
    return Again(f"{host_of(url)}: {what or type(error).__name__}")
