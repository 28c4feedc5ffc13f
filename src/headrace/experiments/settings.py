"""Knobs of an experiment as people set them: `--set most=32`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import msgspec

from headrace.experiments.errors import ExperimentError
from headrace.fleet.problems import nearest

S = TypeVar("S", bound=msgspec.Struct)


def with_changes(settings: S, changes: Sequence[str]) -> S:
    """Return settings with some of them changed; ExperimentError for one that cannot be."""
    given: dict[str, object] = msgspec.to_builtins(settings)
    for text in changes:
        name, sign, value = text.partition("=")
        if not sign or name not in given:
            known = ", ".join(f"{key}={now}" for key, now in given.items())
            raise ExperimentError(
                f"--set {text}: no such knob{nearest(name, given)}; known: {known}"
            )
        given[name] = value
    try:
        made = msgspec.convert(given, type(settings), strict=False)
    except msgspec.ValidationError as error:
        raise ExperimentError(f"--set: {error}") from None
    _check(made)
    return made


def _check(settings: msgspec.Struct) -> None:
    """Raise ExperimentError for a count that is none: all knobs but seeds are at least 1."""
    for name in settings.__struct_fields__:
        value = getattr(settings, name)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if number and name != "seed" and value <= 0:
            raise ExperimentError(f"--set {name}={value}: must be more than 0")
