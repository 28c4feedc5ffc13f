"""The reference of fleet.yaml as Markdown, from the types themselves, so that it cannot go stale.

`headrace schema --markdown > docs/reference/fleet.md` writes it; a test compares.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from typing import Any

from headrace.fleet.schema import fleet_schema


def fleet_reference() -> str:
    """Return one section for each part of the file, one table row for each key."""
    schema = fleet_schema()
    parts = {"the file": schema, **dict(sorted(schema["$defs"].items()))}
    sections = [line for name, part in parts.items() for line in _section(name, part)]
    return "\n".join(["# fleet.yaml", "", "Made by `headrace schema --markdown`.", *sections, ""])


def _section(name: str, part: dict[str, Any]) -> Iterator[str]:
    yield from ("", f"## {name}", "", inspect.cleandoc(part["description"]), "")
    yield from ("| key | value | default | meaning |", "| --- | --- | --- | --- |")
    required = part.get("required", ())
    for key, field in part["properties"].items():
        given = "**required**" if key in required else default(field)
        yield f"| `{key}` | {kind(field)} | {given} | {field.get('description', '')} |"


def default(field: dict[str, Any]) -> str:
    """Write the default of a field of a JSON schema."""
    if "$ref" in field:
        return "see there"
    return f"`{json.dumps(field['default'])}`" if "default" in field else ""


def kind(field: dict[str, Any]) -> str:
    """Write what a field of a JSON schema may be."""
    if "$ref" in field:
        return _link(field["$ref"])
    if "enum" in field:
        return " or ".join(f"`{value}`" for value in field["enum"])
    if "const" in field:
        return f"`{field['const']}`"
    if "anyOf" in field:
        kinds = [kind(option) for option in field["anyOf"] if option.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    return _compound(field)


def _compound(field: dict[str, Any]) -> str:
    made = str(field["type"])
    if made == "object":
        values = [*field.get("patternProperties", {}).values(), field.get("additionalProperties")]
        return f"names, each with {kind(values[0])}"
    if made == "array":
        return f"list of {kind(field['items'])}"
    examples = field.get("examples", ())
    return f"such as `{examples[0]}`" if examples else made


def _link(reference: str) -> str:
    name = reference.rpartition("/")[2]
    return f"[{name}](#{name.lower()})"
