"""What differs between two parts of a fleet file, in words for whoever reviews a change.

`rollout_plan.py` and `reload.py` say by this what an edit changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from headrace.fleet.document import Path_
from headrace.fleet.routes import Route

_UNSAID = {"env", "traces"}
"""Parts whose values are nobody's business."""


class Difference(NamedTuple):
    """A field below the compared part, with its value before and after."""

    path: Path_
    before: object
    after: object

    def __str__(self) -> str:
        """Write `scaling.max 2 -> 3`."""
        return f"{'.'.join(map(str, self.path))} {self.values}".rstrip()

    @property
    def values(self) -> str:
        """Both values, or nothing where they may be secret."""
        if not _UNSAID.isdisjoint(self.path):
            return ""
        return f"{_shown(self.before)} -> {_shown(self.after)}"


def differences(old: object, new: object, path: Path_ = ()) -> Iterator[Difference]:
    """Yield the fields in which two dumped parts differ; lists of parts are compared one by one."""
    before, after = _fields(old), _fields(new)
    if before is None or after is None:
        if old != new:
            yield Difference(path, old, new)
        return
    for key in dict.fromkeys((*before, *after)):
        yield from differences(before.get(key), after.get(key), (*path, key))


def routes(old: Mapping[str, Route], new: Mapping[str, Route]) -> Iterator[str]:
    """Yield a line for each route that is new, gone or different, and one for their order."""
    for name in dict.fromkeys((*old, *new)):
        before, after = old.get(name), new.get(name)
        if before is None or after is None:
            yield f"route {name}: {'added' if before is None else 'removed'}"
        elif said := "; ".join(_route(before, after)):
            yield f"route {name}: {said}"
    stayed, now = [one for one in old if one in new], [one for one in new if one in old]
    if stayed != now:
        yield f"routes: order {', '.join(stayed)} -> {', '.join(now)}"


def _route(old: Route, new: Route) -> Iterator[str]:
    if old.deployment and new.deployment:
        if old.deployment != new.deployment:
            yield f"deployment {old.deployment} -> {new.deployment}"
    elif moved := ", ".join(_moved(_shares(old), _shares(new))):
        yield f"variants {moved}"
    destinations = {"deployment", "variants"}
    before, after = (route.model_dump(exclude=destinations) for route in (old, new))
    yield from map(str, differences(before, after))


def _shares(route: Route) -> dict[str, object]:
    if route.deployment:
        return {route.deployment: "all"}
    return {one.deployment: one.weight for one in route.variants}


def _moved(old: Mapping[str, object], new: Mapping[str, object]) -> Iterator[str]:
    for name in dict.fromkeys((*old, *new)):
        if old.get(name) != new.get(name):
            yield f"{name} {_shown(old.get(name))} -> {_shown(new.get(name))}"


def _fields(value: object) -> Mapping[Any, object] | None:
    """Return a part's fields by name, or by number in a list of parts; None for a plain value."""
    if isinstance(value, Mapping):
        return value
    if isinstance(value, tuple) and value and all(isinstance(one, Mapping) for one in value):
        return dict(enumerate(value))
    return {} if value == () else None


def _shown(value: object) -> str:
    """Write a value as a fleet file might: 18 ms as 0.018, a part by what is set in it."""
    match value:
        case bool():
            return str(value).lower()
        case float():
            return f"{value:.12g}"
        case tuple():
            return f"[{', '.join(map(_shown, value))}]"
        case Mapping():
            said = (f"{key}: {_shown(one)}" for key, one in value.items() if one is not None)
            return f"{{{', '.join(said)}}}"
        case None:
            return "none"
        case _:
            return str(value)
