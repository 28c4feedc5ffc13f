"""Which flags an engine has in which version, and which of them a fleet file may set.

Each engine's file has its own history; these are the sentences that follow from one. A boundary is
the first version that was looked at and has, or lacks, the flag.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from packaging.version import Version

from headrace.fleet.problems import nearest
from headrace.fleet.types import Scalar


@dataclass(frozen=True)
class Span:
    """A flag known from `since` (None: always) until `gone`, the first version without it."""

    since: str | None = None
    gone: str | None = None
    instead: str = ""

    def covers(self, version: str) -> bool:
        """Whether this version has the flag."""
        now = Version(version)
        begun = self.since is None or now >= Version(self.since)
        return begun and not self.ended(version)

    def ended(self, version: str) -> bool:
        """Whether the flag was there before this version and is not any more."""
        return self.gone is not None and Version(version) >= Version(self.gone)


@dataclass(frozen=True)
class FlagRules:
    """One engine's flags: how they are spelt, when they came and went, and who sets them.

    `owned` are those that Headrace sets, with the deployment's field; `refused` those that would
    break what Headrace relies on, with the reason. A flag that no rule names is let through, unless
    `every` has all flags of all versions.
    """

    title: str
    history: Mapping[str, Span]
    owned: Mapping[str, str]
    refused: Mapping[str, str]
    spelling: Callable[[str], str]
    every: frozenset[str] = frozenset()

    def has(self, name: str, version: str) -> bool:
        """Say whether this version knows the flag, as far as Headrace can tell."""
        span = self.history.get(name)
        return span is None or span.covers(version)

    def absence(self, name: str, version: str) -> str | None:
        """Return why this version does not take the flag, None if it does or nothing is known."""
        if self.every and name not in self.every:
            return f"{self.title} {version} has no --{name}{nearest(name, self.every)}"
        if self.has(name, version):
            return None
        span = self.history[name]
        instead = f"; instead: {span.instead}" if span.instead else ""
        if span.ended(version):
            return f"{self.title} {version} has no --{name}: gone since {span.gone}{instead}"
        return f"{self.title} {version} has no --{name} yet: it came with {span.since}{instead}"

    def problem(self, written: str, version: str) -> str | None:
        """Return why a fleet file may not set this flag, None if it may."""
        if written.startswith("-"):
            return f"write flags without the leading dashes: {written.lstrip('-')}"
        name = self.spelling(written)
        for known in dict.fromkeys((name, name.partition(".")[0])):
            if known in self.refused:
                return f"not here: {self.refused[known]}"
            if known in self.owned:
                field = self.owned[known]
                return f"Headrace sets --{known} from {field}; set that field and remove this flag"
            if absent := self.absence(known, version):
                return absent
        return None

    def problems(self, flags: Mapping[str, Scalar], version: str) -> Iterator[tuple[str, str]]:
        """Yield (name as written, sentence) for each flag that this version cannot be given."""
        for written in flags:
            if message := self.problem(written, version):
                yield written, message


def switch_arguments(flag: str, value: Scalar) -> list[str]:
    """Return the arguments of a flag where true is the flag alone, and false leaves it out."""
    if isinstance(value, bool):
        return [flag] if value else []
    return [flag, str(value)]
