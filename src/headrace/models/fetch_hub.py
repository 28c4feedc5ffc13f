"""Fetch from a Hugging Face hub, or a mirror of it: listing, choice of files, and the token.

The listing is one documented request (`/api/models/{repo}/revision/{revision}?blobs=true`), so it
goes through our own client: one rule for proxies, redirects, retries and who may see the token.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import httpx
import msgspec

from headrace.fleet.source import HubSource
from headrace.models import fetch_http
from headrace.models.errors import FormatError, SourceError
from headrace.models.lock import Digest, LockedFile, Size
from headrace.models.names import choose_files
from headrace.models.plan import Plan, Planned
from headrace.models.progress import Listener
from headrace.models.web import Retry, Web, host_of

_HINT = (
    "if the model is private or gated, accept its terms on the hub and put a token into the "
    "environment (HF_TOKEN) or into the file that HF_TOKEN_PATH names "
    "(~/.cache/huggingface/token)"
)


class _Lfs(msgspec.Struct, frozen=True):
    sha256: Digest
    size: Size


class _File(msgspec.Struct, frozen=True):
    rfilename: str
    size: Size | None = None
    lfs: _Lfs | None = None


class _Listing(msgspec.Struct, frozen=True):
    sha: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{40}$")]
    siblings: list[_File]


class HubOrigin:
    """One repository of a hub."""

    def __init__(
        self,
        source: HubSource,
        client: httpx.Client,
        retry: Retry,
        progress: Listener,
        allow_pickle: bool,
    ) -> None:
        self.source = source
        self.allow_pickle = allow_pickle
        self.progress = progress
        self.endpoint = hub_endpoint()
        token = hub_token()
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.web = Web(client, headers, retry, _HINT)

    def plan(self, resolved: str | None) -> Plan:
        """List the repository at the locked commit, or at the revision as written."""
        listing = self._listing(resolved or self.source.revision)
        known = {file.rfilename: file for file in listing.siblings}
        names = choose_files(known, member=self.source.member, allow_pickle=self.allow_pickle)
        files = tuple(self._planned(known[name], listing.sha) for name in names)
        return Plan(listing.sha, files)

    def fetch(self, file: Planned, into: Path, progress: Listener) -> LockedFile:
        """Fetch one file of the commit."""
        return fetch_http.fetch(self.web, file, into, progress)

    def _listing(self, revision: str) -> _Listing:
        repo = self.source.repo
        url = f"{self.endpoint}/api/models/{repo}/revision/{quote(revision, safe='')}?blobs=true"
        try:
            return msgspec.convert(self.web.json(url, self.progress), _Listing)
        except msgspec.ValidationError as error:
            raise FormatError(
                f"{host_of(url)} does not speak the hub's language ({error}); check HF_ENDPOINT"
            ) from error

    def _planned(self, file: _File, commit: str) -> Planned:
        place = f"{self.endpoint}/{self.source.repo}/resolve/{commit}/{quote(file.rfilename)}"
        if file.lfs is None:
            return Planned(file.rfilename, place, file.size, immutable=True)
        return Planned(
            file.rfilename, place, file.lfs.size, file.lfs.sha256, why="the hub", immutable=True
        )


def hub_endpoint() -> str:
    """Return the hub's address: HF_ENDPOINT, as in Hugging Face's own tools, or the public hub."""
    endpoint = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    if not endpoint.startswith(("https://", "http://")):
        raise SourceError(f"HF_ENDPOINT must be an http(s) address, not {endpoint!r}")
    return endpoint.rstrip("/")


def hub_token() -> str | None:
    """Find a token where Hugging Face's own tools look: the environment first, then a file."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        if token := os.environ.get(name, "").strip():
            return _clean(token, name)
    path = _token_file()
    try:
        return _clean(path.read_text("utf-8").strip(), str(path)) or None
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"the token file {path} cannot be read") from error


def _token_file() -> Path:
    if path := os.environ.get("HF_TOKEN_PATH"):
        return Path(path).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("HF_HOME") or f"{cache}/huggingface"
    return Path(home).expanduser() / "token"


def _clean(token: str, where: str) -> str:
    if not token.isascii() or not token.isprintable() or " " in token:
        raise SourceError(f"{where} does not hold a token (blanks or control characters in it)")
    return token
