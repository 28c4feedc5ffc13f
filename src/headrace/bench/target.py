"""What a load is sent to, and which metrics pages are read meanwhile."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

import msgspec

_PORTS = {"http": 80, "https": 443}


class TargetError(ValueError):
    """The address is none that a load can be sent to; the message says why."""


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """A metrics page, and whose it is: a sample's `source`, as `gateway` or `engine:chat-1`.

    `engine` and `version` decide the names that are read; where they are unknown ("") the page's
    own names tell.
    """

    url: str
    source: str
    engine: str = ""
    version: str = ""


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """An OpenAI-compatible endpoint: `http://host:port/v1`, the model's alias, an API key.

    With `chat` a prompt goes to `/chat/completions`, else to `/completions`.
    """

    address: str
    model: str
    key: str | None = None
    chat: bool = True
    scrape: tuple[Page, ...] = ()

    def __repr__(self) -> str:
        """Without the key."""
        return f"Target({self.address!r}, model={self.model!r}, chat={self.chat})"


@dataclass(frozen=True)
class Place:
    """An address in parts; `base` is the path before `/completions`, without a slash at its end."""

    host: str
    port: int
    base: str
    tls: bool

    @property
    def authority(self) -> str:
        """The value of the `host` header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return (
            host if self.port == _PORTS["https" if self.tls else "http"] else f"{host}:{self.port}"
        )


def place(address: str) -> Place:
    """Return an address in parts; TargetError if it is no http(s) address."""
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError as error:
        raise TargetError(f"'{address}' is no address: {error}") from None
    if parts.scheme not in _PORTS or not parts.hostname:
        raise TargetError(f"'{address}' is no address; write it as http://host:port/v1")
    if parts.username or parts.password:
        raise TargetError("an address holds no password; the key goes into $HEADRACE_KEY")
    path = parts.path.rstrip("/")
    if any(not " " < letter < "\x7f" for letter in path + parts.hostname):
        raise TargetError(f"'{address}' has letters that no address has")
    return Place(parts.hostname, port or _PORTS[parts.scheme], path, parts.scheme == "https")
