"""The preflight itself: read, look at everything together, sort, silence.

`headrace preflight` prints the result with `text.py`, as JSON or as SARIF.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from headrace.preflight.finding import SEVERITIES, Finding, Hit, Rule, Severity
from headrace.preflight.fleet_files import check_fleet
from headrace.preflight.reading import read
from headrace.preflight.rules.all_rules import RULES
from headrace.preflight.scene import Scene
from headrace.preflight.silence import silence


@dataclass(frozen=True)
class Report:
    """Everything that was found, in the order of files and lines."""

    findings: tuple[Finding, ...]
    objects: int
    """Kubernetes objects that were looked at."""
    fleets: int

    @property
    def open(self) -> tuple[Finding, ...]:
        """Those that no comment silences."""
        return tuple(one for one in self.findings if not one.silenced)

    def worst(self) -> Severity | None:
        """Return the worst severity of what is open."""
        found = [SEVERITIES.index(one.rule.severity) for one in self.open]
        return SEVERITIES[max(found)] if found else None

    def fails(self, at: Severity) -> bool:
        """Whether something open is as bad as `at`, or worse."""
        worst = self.worst()
        return worst is not None and SEVERITIES.index(worst) >= SEVERITIES.index(at)


def preflight(paths: Iterable[Path], standard_input: str = "") -> Report:
    """Look at files, folders and (`-`) standard input."""
    reading = read(paths, standard_input)
    found = [*reading.findings, *inspect(Scene(reading.resources))]
    for path in reading.fleets:
        found += check_fleet(path)
    told = silence(found, reading.texts)
    ordered = sorted(told, key=lambda one: (one.file, one.line, one.rule.id, one.message))
    return Report(tuple(ordered), len(reading.resources), len(reading.fleets))


def inspect(scene: Scene) -> Iterator[Finding]:
    """Yield what the rules say about objects, each once."""
    seen = set()
    for rule in RULES:
        for hit in rule.check(scene) if rule.check else ():
            found = _finding(rule, hit)
            key = (rule.id, found.file, found.line, found.message)
            if key not in seen:
                seen.add(key)
                yield found


def _finding(rule: Rule, hit: Hit) -> Finding:
    resource = hit.resource
    fix = hit.fix or rule.fix
    return Finding(rule, resource.file, hit.node.line, resource.title, hit.message, fix)
