"""Comments that silence a rule where somebody has a reason.

`# headrace: ignore HR308 because the lab has one GPU`, on the line of the finding or the line
above; without a reason, or with a rule that there is not, the comment is itself a finding.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from headrace.preflight.finding import Finding
from headrace.preflight.rules.all_rules import RULES
from headrace.preflight.rules.reading import SILENCE

_COMMENT = re.compile(r"(?:^|\s)#\s*headrace:\s*ignore\b(.*)$", re.IGNORECASE)
_RULES = re.compile(r"HR\d{3}", re.IGNORECASE)
_REASON = re.compile(r"\bbecause\s+(\S.*)$", re.IGNORECASE)


@dataclass(frozen=True)
class _Comment:
    rules: frozenset[str]
    reason: str


def silence(findings: Iterable[Finding], texts: Mapping[str, str]) -> Iterator[Finding]:
    """Yield findings with the reason that silences them, and those about bad comments."""
    comments = {file: dict(_comments(text)) for file, text in texts.items()}
    for finding in findings:
        yield replace(finding, silenced=_reason(finding, comments.get(finding.file, {})))
    for file, of_file in comments.items():
        for line, comment in of_file.items():
            if message := _wrong(comment):
                yield Finding(SILENCE, file, line, "", message, SILENCE.fix)


def _reason(finding: Finding, comments: Mapping[int, _Comment]) -> str:
    """Look at the line and up through the comments right above it."""
    line = finding.line
    near = [comments.get(line)]
    while line - 1 in comments:
        line -= 1
        near.append(comments[line])
    given = (one.reason for one in near if one and finding.rule.id in one.rules)
    return next(filter(None, given), "")


def _comments(text: str) -> Iterator[tuple[int, _Comment]]:
    for number, line in enumerate(text.splitlines(), start=1):
        if found := _COMMENT.search(line):
            before, _, _ = found[1].partition("because")
            reason = _REASON.search(found[1])
            rules = frozenset(one.upper() for one in _RULES.findall(before))
            yield number, _Comment(rules, reason[1].strip() if reason else "")


def _wrong(comment: _Comment) -> str | None:
    unknown = comment.rules - {rule.id for rule in RULES}
    if not comment.rules or unknown:
        return f"no rule is called {', '.join(sorted(unknown))}" if unknown else "names no rule"
    return None if comment.reason else f"{', '.join(sorted(comment.rules))} without a reason"
