"""The JSON schema of a fleet file, for editors (`headrace schema > fleet.schema.json`)."""

from __future__ import annotations

from typing import Any

from headrace.fleet.types import Fleet


def fleet_schema() -> dict[str, Any]:
    """Return the JSON schema (2020-12) that yaml-language-server and others understand."""
    schema = Fleet.model_json_schema()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "fleet.yaml",
        **schema,
    }
