"""From a file's path to a checked Fleet, or to every problem in it with its line.

The way: `document.py` reads, `types.py` types, `checks.py` cross-checks. The rooms above get a
`FleetFile`, which can turn their own findings into problems that name the right line.
"""

from __future__ import annotations

import hashlib
import types
import typing
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
from pydantic import BaseModel, ValidationError

from headrace.fleet.checks import check
from headrace.fleet.document import Document, Path_, read_document
from headrace.fleet.problems import FleetError, Problem, nearest
from headrace.fleet.types import Fleet


@dataclass(frozen=True)
class FleetFile:
    """A fleet together with the file it came from."""

    path: Path
    fleet: Fleet
    document: Document

    @cached_property
    def digest(self) -> str:
        """A digest of what the file says, the same however it is laid out and commented."""
        said = msgspec.json.encode(self.document.data, order="sorted")
        return hashlib.sha256(said).hexdigest()

    def problem(self, path: Path_, message: str) -> Problem:
        """Return a problem at a field of this file, such as ("deployments", "chat", "model")."""
        return _problem(self.path, self.document, path, message)


def load_fleet(path: Path) -> FleetFile:
    """Read and check a fleet file; FleetError lists all problems at once."""
    document = read_document(path)
    if not isinstance(document.data, dict):
        raise FleetError([Problem(path, 1, "", "expected keys such as fleet, models and routes")])
    try:
        fleet = Fleet.model_validate(document.data)
    except ValidationError as error:
        raise FleetError([_typed(path, document, detail) for detail in error.errors()]) from error
    file = FleetFile(path, fleet, document)
    raise_problems(file.problem(where, message) for where, message in check(fleet))
    return file


def raise_problems(problems: Iterable[Problem]) -> None:
    """Raise FleetError if there is any problem."""
    found = list(problems)
    if found:
        raise FleetError(found)


def _problem(file: Path, document: Document, path: Path_, message: str) -> Problem:
    field = ".".join(str(part) for part in path)
    return Problem(file, document.line(path), field, message)


def _typed(file: Path, document: Document, detail: Any) -> Problem:
    path = tuple(part for part in detail["loc"] if part != "[key]")
    return _problem(file, document, path, _message(path, detail))


def _message(path: Path_, detail: Any) -> str:
    kind, given = detail["type"], detail.get("input")
    if kind == "extra_forbidden":
        return f"unknown key{nearest(str(path[-1]), known_keys(path[:-1]))}"
    if kind == "missing":
        return "is missing"
    if kind == "string_pattern_mismatch" and not path:
        return str(detail["msg"])
    text = str(detail["msg"]).removeprefix("Value error, ")
    text = text[0].lower() + text[1:]
    if kind == "literal_error":
        wanted = detail["ctx"]["expected"].replace("'", "").replace(" or ", ", ").split(", ")
        text += nearest(str(given), wanted) if isinstance(given, str) else ""
    shown = "" if isinstance(given, (dict, list)) or given is None else f" (found {given!r})"
    return f"{text}{shown}"


def known_keys(path: Path_) -> list[str]:
    """Return the keys that the part of the file at `path` may have."""
    part: Any = Fleet
    for step in path:
        part = _descend(part, step)
    return list(part.model_fields) if _is_model(part) else []


def _descend(part: Any, step: str | int) -> Any:
    if _is_model(part):
        field = part.model_fields.get(str(step))
        return _inner(field.annotation) if field else None
    arguments = typing.get_args(part)
    return _inner(arguments[-1] if isinstance(step, str) else arguments[0]) if arguments else None


def _inner(annotation: Any) -> Any:
    while typing.get_origin(annotation) in (types.UnionType, typing.Union, typing.Annotated):
        options = [o for o in typing.get_args(annotation) if o is not types.NoneType]
        annotation = options[0]
    return annotation


def _is_model(part: Any) -> bool:
    return isinstance(part, type) and issubclass(part, BaseModel)
