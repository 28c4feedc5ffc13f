"""What the preflight says, and why it may say it: findings, the rules they come from, the facts.

A rule is data and one function; the rooms of rules are in `rules/`, `check.py` runs them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from headrace.preflight.node import Node
    from headrace.preflight.objects import Resource
    from headrace.preflight.scene import Scene

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("note", "warning", "error")
"""From the least to the worst."""


@dataclass(frozen=True)
class Fact:
    """What is known and who says so: a version that was read or run, a thread, a manual."""

    text: str
    source: str


@dataclass(frozen=True)
class Rule:
    """One mistake: what happens, how to mend it, and the fact behind it.

    `error`: it will not work, or cuts or loses requests. `warning`: it will not do what it says, or
    not under load. `note`: it works today.
    """

    id: str
    severity: Severity
    title: str
    what: str
    fix: str
    fact: Fact
    check: Callable[[Scene], Iterator[Hit]] | None = None
    """None: found while reading, not by looking at objects."""


@dataclass(frozen=True)
class Hit:
    """Where a rule strikes: the field, and a sentence about this very place."""

    resource: Resource
    node: Node
    message: str
    fix: str = ""
    """Instead of the rule's, where this place allows a more exact one."""


@dataclass(frozen=True)
class Finding:
    """A rule that strikes at a line; `silenced` is the reason that a comment there gives."""

    rule: Rule
    file: str
    line: int
    where: str
    """Which object, such as `Deployment inference/chat`; empty for the file."""
    message: str
    fix: str
    silenced: str = ""

    def __str__(self) -> str:
        """Write `file:line: severity HR101: sentence`."""
        return f"{self.file}:{self.line}: {self.rule.severity} {self.rule.id}: {self.message}"
