"""Knobs of an experiment as people set them: `--set most=32`, `--set ways=kill,stop`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeVar

import msgspec

from headrace.experiments.errors import ExperimentError
from headrace.fleet.problems import nearest

S = TypeVar("S", bound=msgspec.Struct)
Count = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
"""How many, or tokens: at least one."""
AUTO = "auto"
"""A knob that is left to the experiment: None."""


def with_changes(settings: S, changes: Sequence[str]) -> S:
    """Return settings with some of them changed; ExperimentError for one that cannot be."""
    given: dict[str, Any] = msgspec.to_builtins(settings)
    made = settings
    for text in changes:
        name, sign, value = text.partition("=")
        if name not in given:
            raise ExperimentError(f"--set {text}: no knob '{name}'{nearest(name, given)}")
        if not sign:
            raise ExperimentError(f"--set {text}: expected {name}=VALUE")
        given[name] = _read(value, given[name])
        try:
            made = msgspec.convert(given, type(settings), strict=False)
        except msgspec.ValidationError as error:
            why = str(error).partition(" - at ")[0]
            raise ExperimentError(f"--set {text}: {why}") from None
    return made


def written(settings: Mapping[str, Any]) -> str:
    """Write knobs as --set takes them."""
    return " ".join(f"{name}={plain(value)}" for name, value in settings.items())


def _read(text: str, now: Any) -> Any:
    """Return what a text stands for: a list where there is one now, by commas."""
    if text == AUTO:
        return None
    if isinstance(now, list | tuple):
        return [part for part in text.split(",") if part]
    return text


def plain(value: Any) -> str:
    """Write a value as YAML and --set have it."""
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    if isinstance(value, bool):
        return str(value).lower()
    return AUTO if value is None else str(value)
