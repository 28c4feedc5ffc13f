"""The files of results as a schema and as Markdown, from the types themselves.

`headrace evidence schema --markdown > docs/reference/evidence.md` writes it; a test compares.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import msgspec

from headrace.evidence.result import Evidence
from headrace.fleet.reference import default, kind

_INTRODUCTION = """\
# Evidence

Made by `headrace evidence schema --markdown`.

`laptop.yaml` has the folder `laptop.evidence`, with one JSON file for each result. Its name is the
result's `id`: the day, the experiment, the deployment, and a digest of the content, so a file never
changes, and the files of two branches merge. Put the folder into git beside the fleet file."""


def evidence_schema() -> dict[str, Any]:
    """Return the JSON schema (2020-12) of one file."""
    schema = msgspec.json.schema(Evidence)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def evidence_reference() -> str:
    """Return one section for each part of a file, one table row for each key."""
    parts = evidence_schema()["$defs"]
    sections = [line for name, part in parts.items() for line in _section(name, part)]
    return "\n".join([_INTRODUCTION, *sections, ""])


def _section(name: str, part: dict[str, Any]) -> Iterator[str]:
    yield from ("", f"## {name}", "", inspect.cleandoc(part["description"]), "")
    yield from ("| key | value | default |", "| --- | --- | --- |")
    required = part.get("required", ())
    for key, field in part["properties"].items():
        given = "**required**" if key in required else default(field)
        yield f"| `{key}` | {kind(field)} | {given} |"
