"""Fetch one file over HTTP so that a cut connection, a restart or a changed file cannot spoil it.

Bytes go to `<name>.part`, with a note beside it of the version that they belong to (its ETag). A
later attempt asks for the rest with Range and If-Range (RFC 9110, sections 13.1.5 and 14): the
server continues the same version, or sends the new one whole. Only a complete file with the right
SHA-256 gets its name. `fetch_hub.py` adds the listing and the token of a model hub.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from pathlib import Path
from urllib.parse import quote, unquote

import httpx

from headrace.fleet.source import HttpSource
from headrace.models.errors import SourceError
from headrace.models.lock import LockedFile
from headrace.models.names import safe_name
from headrace.models.plan import Plan, Planned
from headrace.models.progress import Listener, Progress
from headrace.models.web import Again, Retry, Web, host_of

_CHUNK = 1 << 20
_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")


class HttpOrigin:
    """One file of a web server, or the named files of one of its folders."""

    def __init__(
        self, source: HttpSource, files: tuple[str, ...], client: httpx.Client, retry: Retry
    ) -> None:
        self.source = source
        self.files = files
        self.web = Web(client, retry=retry)

    def plan(self, resolved: str | None) -> Plan:  # noqa: ARG002 - a web server has no versions
        """Take the files as given: a web server has no listing."""
        if not self.source.is_folder:
            name = safe_name(unquote(self.source.url.rpartition("/")[2]))
            return Plan("", (Planned(name, self.source.url),))
        if not self.files:
            raise SourceError(
                f"{self.source}: a web server has no listing; name the model's files in fleet.yaml "
                "(files: [config.json, tokenizer.json, model.safetensors, ...])"
            )
        planned = (Planned(safe_name(name), self.source.url + quote(name)) for name in self.files)
        return Plan("", tuple(planned))

    def fetch(self, file: Planned, into: Path, progress: Listener) -> LockedFile:
        """Fetch one file."""
        return fetch(self.web, file, into, progress)


def fetch(web: Web, file: Planned, into: Path, progress: Listener) -> LockedFile:
    """Fetch a file to `into / name`, continuing what an earlier attempt left beside it.

    The caller compares the digest; after unlinking a wrong file, the next fetch begins afresh.
    """
    part = _Part(file, into, progress)
    continued = part.size > 0
    if not part.complete:
        web.persist(lambda: _attempt(web, part), file.name, progress, lambda: part.size)
    if continued and file.sha256 is not None and not part.complete:
        part.forget()  # the earlier bytes may be to blame, so the source gets a second chance
        web.persist(lambda: _attempt(web, part), file.name, progress, lambda: part.size)
    part.finish()
    return LockedFile(file.name, part.size, part.digest.hexdigest())


class _Part:
    """The bytes of a file so far: on disk, in the digest, and the version that they belong to."""

    def __init__(self, file: Planned, into: Path, progress: Listener) -> None:
        self.file = file
        self.progress = progress
        self.target = into / file.name
        self.path = into.with_name(f"{into.name}.parts") / f"{file.name}.part"
        self.note = self.path.with_suffix(".etag")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.target.parent.mkdir(parents=True, exist_ok=True)
        if self.target.exists():  # finished by an earlier run, which did not come to publish it
            self.target.rename(self.path)
        self.size = 0
        self.digest = hashlib.sha256()
        place, self.etag = self._read_note()
        if place != file.place:  # another commit's file of the same name
            self.forget()
        if self._continuable:
            self._take_in()

    @property
    def complete(self) -> bool:
        """Whether nothing needs to be asked: all bytes are there and known to be the right ones."""
        if self.file.sha256 is not None:
            return self.digest.hexdigest() == self.file.sha256
        return self.file.immutable and 0 < self.size == self.file.size

    @property
    def request_headers(self) -> dict[str, str]:
        """Ask for the rest, but only of the same version."""
        if not self.size:
            return {}
        condition = {"If-Range": self.etag} if self.etag else {}
        return {"Range": f"bytes={self.size}-", **condition}

    def begin(self, response: httpx.Response) -> None:
        """Start from the first byte, and remember the version that is being sent."""
        self.size = 0
        self.digest = hashlib.sha256()
        self.path.write_bytes(b"")
        etag = response.headers.get("ETag", "")
        self.etag = etag if etag.isascii() and not etag.startswith("W/") else ""
        self.note.write_text(f"{self.file.place}\n{self.etag}", "utf-8")

    def append(self, response: httpx.Response, total: int | None) -> None:
        """Write the body to the end of the part."""
        with self.path.open("ab") as file:
            for chunk in response.iter_raw():
                file.write(chunk)
                self.digest.update(chunk)
                self.size += len(chunk)
                self.progress(Progress("fetch", self.file.name, self.size, total))
            file.flush()
            os.fsync(file.fileno())

    def forget(self) -> None:
        """Throw the bytes away, so that no later attempt builds on them."""
        self.path.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)
        self.size, self.digest, self.etag = 0, hashlib.sha256(), ""

    def finish(self) -> None:
        """Give the complete file its name; the note stays, for a run that has to ask again."""
        self.path.rename(self.target)

    def _read_note(self) -> tuple[str, str]:
        if not self.note.exists():
            return "", ""
        place, _, etag = self.note.read_text("utf-8").partition("\n")
        return place, etag

    @property
    def _continuable(self) -> bool:
        known = self.etag or self.file.immutable or self.file.sha256
        return bool(known) and self.path.exists()

    def _take_in(self) -> None:
        with self.path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                self.digest.update(chunk)
                self.size += len(chunk)
                self.progress(Progress("verify", self.file.name, self.size, self.file.size))


def _attempt(web: Web, part: _Part) -> None:
    with web.open(part.file.place, part.request_headers) as response:
        _check_framing(response, part.file.name)
        total = _expect(response, part)
        if response.status_code != httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            part.append(response, total)
    if total is not None and part.size != total:
        if part.size > total:
            part.forget()
        raise Again(f"{host_of(part.file.place)} sent {part.size:,} of {total:,} bytes")


def _check_framing(response: httpx.Response, name: str) -> None:
    headers = response.headers
    if headers.get("Content-Encoding", "identity") != "identity":
        raise SourceError(
            f"{response.url.host} sends {name} compressed although it was asked not to, "
            "so its size and digest cannot be known; use another mirror"
        )
    if "Content-Length" not in headers and "chunked" not in headers.get("Transfer-Encoding", ""):
        raise SourceError(
            f"{response.url.host} does not say how long {name} is, so a cut connection would go "
            "unnoticed; use another mirror"
        )


def _expect(response: httpx.Response, part: _Part) -> int | None:
    """Prepare the part for this answer; return the size that the file will have, if it is said."""
    if response.status_code == httpx.codes.OK:
        part.begin(response)
        length = response.headers.get("Content-Length", "")
        return int(length) if length.isdigit() else part.file.size
    begin, total = content_range(response)
    same = not part.etag or response.headers.get("ETag", part.etag) == part.etag
    if same and response.status_code == httpx.codes.PARTIAL_CONTENT and begin == part.size:
        return total if total is not None else part.file.size
    if same and total == part.size and begin is None:
        return total
    part.forget()
    raise Again(f"{response.url.host} has another idea of the file; starting it again")


def content_range(response: httpx.Response) -> tuple[int | None, int | None]:
    """Return where the bytes of a 206 or 416 begin, and the file's size, where it says so."""
    match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if match is None:
        return None, None
    begin, _, total = match.groups()
    with contextlib.suppress(ValueError):  # `*`: the server does not know the size
        return (None if begin is None else int(begin)), int(total)
    return int(begin or 0), None
