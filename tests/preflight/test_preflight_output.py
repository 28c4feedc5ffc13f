"""Silencing, text, JSON, SARIF and the exit status."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from preflight_kit import MANIFESTS, clean, ids, look
from typer.testing import CliRunner

from headrace.cli.main import app
from headrace.preflight.machine import as_sarif
from headrace.preflight.reference import rules_reference
from headrace.preflight.rules.all_rules import RULES

WRONG = clean("chat").replace("--shutdown-timeout=120", "--shutdown-timeout=0 ")
LINE = "        - --shutdown-timeout=0 \n"
RUN = CliRunner()

# What the published schema of SARIF 2.1.0 requires of the parts that are written here, its closed
# lists of words and its pattern for the version.
_TEXT = {
    "type": "object",
    "required": ["text"],
    "properties": {"text": {"type": "string", "minLength": 1}},
}
_LEVEL = {"enum": ["none", "note", "warning", "error"]}
SARIF = {
    "type": "object",
    "required": ["version", "runs"],
    "additionalProperties": False,
    "properties": {
        "$schema": {"type": "string", "format": "uri"},
        "version": {"enum": ["2.1.0"]},
        "runs": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["tool"],
                "properties": {
                    "columnKind": {"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
                    "tool": {
                        "type": "object",
                        "required": ["driver"],
                        "properties": {
                            "driver": {
                                "type": "object",
                                "required": ["name"],
                                "properties": {
                                    "semanticVersion": {"type": "string"},
                                    "rules": {
                                        "type": "array",
                                        "uniqueItems": True,
                                        "items": {
                                            "type": "object",
                                            "required": ["id"],
                                            "properties": {
                                                "shortDescription": _TEXT,
                                                "fullDescription": _TEXT,
                                                "help": _TEXT,
                                                "defaultConfiguration": {
                                                    "properties": {"level": _LEVEL}
                                                },
                                            },
                                        },
                                    },
                                },
                            }
                        },
                    },
                    "results": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["message"],
                            "properties": {
                                "ruleId": {"type": "string"},
                                "ruleIndex": {"type": "integer", "minimum": -1},
                                "level": _LEVEL,
                                "message": _TEXT,
                                "suppressions": {
                                    "type": "array",
                                    "items": {
                                        "required": ["kind"],
                                        "properties": {"kind": {"enum": ["inSource", "external"]}},
                                    },
                                },
                                "locations": {
                                    "type": "array",
                                    "items": {
                                        "properties": {
                                            "physicalLocation": {
                                                "anyOf": [
                                                    {"required": ["address"]},
                                                    {"required": ["artifactLocation"]},
                                                ],
                                                "properties": {
                                                    "artifactLocation": {
                                                        "properties": {
                                                            "uri": {
                                                                "type": "string",
                                                                "format": "uri-reference",
                                                            }
                                                        }
                                                    },
                                                    "region": {
                                                        "properties": {
                                                            "startLine": {
                                                                "type": "integer",
                                                                "minimum": 1,
                                                            }
                                                        }
                                                    },
                                                },
                                            }
                                        }
                                    },
                                },
                            },
                        },
                    },
                },
            },
        },
    },
}


@pytest.mark.parametrize(
    "comment",
    [
        LINE.rstrip() + "  # headrace: ignore HR306 because the lab may be cut\n",
        "        # headrace: ignore HR306 because the lab may be cut\n" + LINE,
        "        # headrace: ignore HR306, HR102 because the lab may be cut\n        # headrace: ignore HR202 because why\n"
        + LINE,
    ],
)
def test_a_comment_with_a_reason_silences(comment: str) -> None:
    report = look(WRONG.replace(LINE, comment))
    assert ids(report.open) == []
    assert [one.silenced for one in report.findings] == ["the lab may be cut"]


@pytest.mark.parametrize(
    ("comment", "message"),
    [
        ("# headrace: ignore HR306", "HR306 without a reason"),
        ("# headrace: ignore HR306 because", "HR306 without a reason"),
        ("# headrace: ignore HR999 because I say so", "no rule is called HR999"),
        ("# headrace: ignore because I say so", "names no rule"),
    ],
)
def test_a_bad_comment_silences_nothing_and_is_a_finding(comment: str, message: str) -> None:
    found = look(WRONG.replace(LINE, f"        {comment}\n{LINE}")).open
    assert ids(found) == ["HR003", "HR306"]
    assert found[0].message == message


def test_a_comment_of_another_rule_or_line_silences_nothing() -> None:
    other = "        # headrace: ignore HR307 because of nothing\n"
    assert ids(look(WRONG.replace(LINE, other + LINE)).open) == ["HR306"]
    above = "        # headrace: ignore HR306 because of nothing\n        - --seed=1\n"
    assert ids(look(WRONG.replace(LINE, above + LINE)).open) == ["HR306"]


def test_text_says_line_rule_what_fix_and_fact(tmp_path: Path) -> None:
    file = tmp_path / "chat.yaml"
    file.write_text(WRONG)
    result = RUN.invoke(app, ["preflight", str(file)])
    assert result.exit_code == 1
    number = WRONG.splitlines().index(LINE.rstrip("\n")) + 1
    assert (
        f"{file}\n  {number}: error HR306 Deployment llm/chat: --shutdown-timeout is 0"
        in result.output
    )
    assert "fix: --shutdown-timeout 120" in result.output
    assert "fact: With the default of 0" in result.output
    assert "8 objects looked at: 1 error\n" in result.output


def test_exit_status_follows_fail_on(tmp_path: Path) -> None:
    file = tmp_path / "chat.yaml"
    for text, error, warning in (
        (clean("chat"), 0, 0),
        (WRONG, 1, 1),
        (clean("chat").replace("lifecycle:", "x-lifecycle:"), 0, 1),  # HR311, a warning
        (
            clean("chat").replace(
                "  minReplicaCount: 2", "  minReplicaCount: 2\n  cooldownPeriod: 9"
            ),
            0,
            0,
        ),
    ):
        file.write_text(text)
        assert RUN.invoke(app, ["preflight", str(file)]).exit_code == error
        assert (
            RUN.invoke(app, ["preflight", "--fail-on", "warning", str(file)]).exit_code == warning
        )


def test_standard_input_and_json() -> None:
    result = RUN.invoke(app, ["preflight", "-", "--json"], input=WRONG)
    data = json.loads(result.output)
    assert result.exit_code == 1
    assert [(one["rule"], one["file"]) for one in data["findings"]] == [("HR306", "<stdin>")]
    assert data["objects"] == 8


def test_sarif_is_what_the_standard_requires(tmp_path: Path) -> None:
    target = tmp_path / "out.sarif"
    RUN.invoke(app, ["preflight", str(MANIFESTS), "--sarif", str(target)])
    log = json.loads(target.read_text("utf-8"))
    jsonschema.Draft202012Validator(SARIF).validate(log)
    run = log["runs"][0]
    assert len(run["results"]) > 30
    for result in run["results"]:
        assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]


def test_sarif_marks_what_is_silenced() -> None:
    report = look(
        WRONG.replace(LINE, "        # headrace: ignore HR306 because of the lab\n" + LINE)
    )
    results = as_sarif(report)["runs"][0]["results"]
    assert results[0]["suppressions"] == [{"kind": "inSource", "justification": "of the lab"}]


def test_usage_is_asked_for() -> None:
    assert RUN.invoke(app, ["preflight"]).exit_code == 2


def test_the_reference_is_current() -> None:
    page = Path(__file__).parents[2] / "docs" / "reference" / "preflight.md"
    assert page.read_text("utf-8") == rules_reference(), (
        "headrace preflight --rules > docs/reference/preflight.md"
    )


def test_rules_are_complete_and_named_once() -> None:
    assert len({rule.id for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert all((rule.title, rule.what, rule.fix, rule.fact.text, rule.fact.source)), rule.id
        assert not rule.title.endswith("."), rule.id
