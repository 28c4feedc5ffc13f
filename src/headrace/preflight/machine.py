"""Findings for programs: JSON of our own, and SARIF 2.1.0 for code scanning."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from headrace.preflight.check import Report
from headrace.preflight.finding import Finding, Rule
from headrace.preflight.rules.all_rules import RULES

_SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)


def as_json(report: Report) -> dict[str, Any]:
    """Return every finding with its rule's words; `silenced` is a reason, or empty."""
    return {
        "objects": report.objects,
        "fleets": report.fleets,
        "findings": [_plain(one) for one in report.findings],
    }


def _plain(one: Finding) -> dict[str, Any]:
    return {
        "rule": one.rule.id,
        "severity": one.rule.severity,
        "title": one.rule.title,
        "file": one.file,
        "line": one.line,
        "object": one.where,
        "message": one.message,
        "what": one.rule.what,
        "fix": one.fix,
        "fact": one.rule.fact.text,
        "source": one.rule.fact.source,
        "silenced": one.silenced,
    }


def as_sarif(report: Report) -> dict[str, Any]:
    """Return a SARIF 2.1.0 log with one run; silenced findings are suppressed in the source."""
    driver = {
        "name": "headrace preflight",
        "semanticVersion": version("headrace"),
        "rules": [_rule(rule) for rule in RULES],
    }
    results = [_result(one) for one in report.findings]
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "name": "".join(word.capitalize() for word in rule.title.split()),
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.what},
        "help": {"text": f"{rule.fix}\n{rule.fact.text} ({rule.fact.source})"},
        "defaultConfiguration": {"level": rule.severity},
    }


def _result(one: Finding) -> dict[str, Any]:
    place = {
        "artifactLocation": {"uri": _uri(one.file)},
        "region": {"startLine": max(one.line, 1)},
    }
    location: dict[str, Any] = {"physicalLocation": place}
    if one.where:
        location["logicalLocations"] = [{"fullyQualifiedName": one.where}]
    result = {
        "ruleId": one.rule.id,
        "ruleIndex": RULES.index(one.rule),
        "level": one.rule.severity,
        "message": {"text": f"{one.message}. {one.rule.what} Fix: {one.fix}."},
        "locations": [location],
    }
    if one.silenced:
        result["suppressions"] = [{"kind": "inSource", "justification": one.silenced}]
    return result


def _uri(file: str) -> str:
    """Write a path as a relative reference, or as a file address if it is absolute."""
    path = PurePath(file)
    return path.as_uri() if path.is_absolute() else quote(path.as_posix(), safe="/<>")
