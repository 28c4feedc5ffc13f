"""Image references: repository, tag, digest, and the version that a tag says."""

from __future__ import annotations

import re
from dataclasses import dataclass

_VERSION = re.compile(r"v?(\d+\.\d+(?:\.\d+)?)(?:[-_+].*)?", re.ASCII)
_FLOATING = re.compile(
    r"(.*[-_.])?(latest|nightly|main|master|stable|dev|edge)([-_.].*)?", re.ASCII
)


@dataclass(frozen=True)
class Image:
    """One image as a container names it; a template's placeholder gives an empty one."""

    repository: str
    tag: str
    digest: str

    @property
    def name(self) -> str:
        """The last part of the repository."""
        return self.repository.rpartition("/")[2]

    @property
    def version(self) -> str | None:
        """The version that the tag says, such as 0.6.5; None if it says none."""
        found = _VERSION.fullmatch(self.tag)
        return found[1] if found and "rc" not in self.tag else None

    @property
    def floats(self) -> bool:
        """Whether the same words can mean another image tomorrow, as `latest` or no tag do."""
        return not self.digest and (not self.tag or _FLOATING.fullmatch(self.tag) is not None)


def parse_image(text: str) -> Image:
    """Read `registry:5000/org/name:tag@sha256:…`."""
    rest, _, digest = text.strip().partition("@")
    head, colon, tag = rest.rpartition(":")
    if not colon or "/" in tag:
        head, tag = rest, ""
    return Image(head.lower(), tag, digest)
