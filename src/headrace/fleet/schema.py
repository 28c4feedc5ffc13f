"""The JSON schema of a fleet file, for editors (`headrace schema > fleet.schema.json`)."""

from __future__ import annotations

from typing import Any

from headrace.fleet.auto import AUTO
from headrace.fleet.types import Deployment, Fleet
from headrace.fleet.units import DURATION, format_duration


def fleet_schema() -> dict[str, Any]:
    """Return the JSON schema (2020-12) that yaml-language-server and others understand."""
    schema = Fleet.model_json_schema()
    for part in (schema, *schema["$defs"].values()):
        for field in part["properties"].values():
            _write_default(field)
    _allow_auto(schema["$defs"]["Deployment"]["properties"])
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _write_default(field: dict[str, Any]) -> None:
    """Give a default the form that a file would give it, or leave it to the part it belongs to."""
    default = field.get("default")
    if isinstance(default, dict) or default is None:
        field.pop("default", None)
    elif field.get("pattern") == DURATION:
        field["default"] = format_duration(default)


def _allow_auto(fields: dict[str, Any]) -> None:
    kept = ("default", "description")
    for name in Deployment.MAY_BE_OPEN:
        field = fields[name]
        outside = {key: field.pop(key) for key in kept if key in field}
        kinds = field.pop("anyOf", None) or [dict(field)]
        fields[name] = {"anyOf": [*kinds, {"const": AUTO}], **outside}
