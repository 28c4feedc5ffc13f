"""Server-side apply: whose field is whose, and what an apply changes.

An apply names all fields that its manager wants. Those that another manager set to something else
are conflicts, or are taken over with force; those that the manager had and names no longer go, if
nobody else has them; all others stay as they are.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from headrace.kubernetes.resource import Object, Resource
from headrace.kubernetes.twin import fields
from headrace.kubernetes.twin.fields import Fields, Path
from headrace.kubernetes.twin.kinds import BUILT_IN
from headrace.kubernetes.twin.statuses import conflict

_MISSING = object()
Owner = tuple[str, str, str]
"""Manager, operation, subresource."""


@dataclass(frozen=True)
class Applied:
    """What an apply makes of an object; `owners` are its fields' owners from now on."""

    object: dict[str, Any]
    owners: dict[Owner, Fields]


def owners_of(one: Object) -> dict[Owner, Fields]:
    """Return the owners that `managedFields` names."""
    found = {}
    for entry in one["metadata"].get("managedFields") or []:
        owner = (entry["manager"], entry["operation"], entry.get("subresource", ""))
        found[owner] = fields.from_v1(entry["fieldsV1"])
    return found


def applied(
    resource: Resource, live: Object | None, wanted: Object, manager: str, *, force: bool
) -> Applied:
    """Return the object after an apply; Refused with every conflict."""
    custom = resource not in BUILT_IN
    claimed = fields.owned(wanted, custom=custom)
    me: Owner = (manager, "Apply", "")
    before = owners_of(live) if live else {}
    result: dict[str, Any] = copy.deepcopy(dict(live)) if live else {}
    others = {who: own for who, own in before.items() if who != me}
    taken = _conflicts(result, wanted, claimed, others)
    if taken and not force:
        raise conflict([(_whom(who, live), fields.words(path)) for who, path in taken])
    lost = {path for _, path in taken}
    others = {who: frozenset(own - lost) for who, own in others.items()}
    for path in sorted(before.get(me, frozenset()) - claimed, key=len):  # items before their fields
        if not any(path in own for own in others.values()):
            _remove(result, path)
    merged = _merged(result, wanted, custom=custom)
    return Applied(merged, {**{who: own for who, own in others.items() if own}, me: claimed})


def _whom(who: Owner, live: Object | None) -> str:
    manager, _, subresource = who
    entries = live["metadata"]["managedFields"] if live else []
    version = next((one["apiVersion"] for one in entries if one["manager"] == manager), "v1")
    through = f' with subresource "{subresource}"' if subresource else ""
    return f'conflict with "{manager}"{through} using {version}'


def _conflicts(
    live: Object, wanted: Object, claimed: Fields, others: Mapping[Owner, Fields]
) -> list[tuple[Owner, Path]]:
    return [
        (who, path)
        for who, own in others.items()
        for path in sorted(own & claimed)
        if _value(live, path) != _value(wanted, path) and path[-1][0] != "k"
    ]


def _value(one: Any, path: Path) -> Any:
    """Return what is at a path, `_MISSING` if nothing is."""
    at = one
    for step in path:
        at = _child(at, step)
        if at is _MISSING:
            return _MISSING
    return at


def _child(at: Any, step: fields.Step) -> Any:
    kind, name = step
    if kind == "f":
        return at.get(name, _MISSING) if isinstance(at, Mapping) else _MISSING
    return next((item for item in _items(at) if _matches(item, step)), _MISSING)


def _items(at: Any) -> Iterable[Any]:
    return at if isinstance(at, list) else ()


def _matches(item: Any, step: fields.Step) -> bool:
    kind, name = step
    if kind == "v":
        return fields.value_step(item)[1] == name
    return fields.key_of(item, tuple(json.loads(name))) == step


def _remove(one: dict[str, Any], path: Path) -> None:
    """Take a field away, and what is empty without it."""
    parent = _value(one, path[:-1]) if path[:-1] else one
    kind, name = path[-1]
    if isinstance(parent, dict) and kind == "f":
        parent.pop(name, None)
    elif isinstance(parent, list):
        parent[:] = [item for item in parent if not _matches(item, path[-1])]
    if not parent and len(path[:-1]) > 1 and kind == "f":
        _remove(one, path[:-1])


def _merged(live: Any, wanted: Any, name: str = "", *, custom: bool) -> Any:
    if isinstance(wanted, Mapping):
        if not isinstance(live, Mapping) or fields.is_atomic(name):
            live = {}
        return {
            **copy.deepcopy(dict(live)),
            **{
                key: _merged(live.get(key), item, key, custom=custom)
                for key, item in wanted.items()
            },
        }
    if isinstance(wanted, list) and not custom and isinstance(live, list):
        if fields.is_set(name):
            return [*live, *(item for item in wanted if item not in live)]
        if keys := fields.list_keys(name, wanted):
            return _merged_items(live, wanted, keys)
    return copy.deepcopy(wanted)


def _merged_items(live: list[Any], wanted: list[Any], keys: tuple[str, ...]) -> list[Any]:
    """Return wanted items in their order, then those that are others'."""
    there = {fields.key_of(item, keys): item for item in live}
    asked = {fields.key_of(item, keys): item for item in wanted}
    mine = [_merged(there.get(key), item, custom=False) for key, item in asked.items()]
    return [*mine, *(copy.deepcopy(item) for key, item in there.items() if key not in asked)]


def updated(live: Object, new: Object, manager: str, subresource: str = "") -> dict[Owner, Fields]:
    """Return the owners after `manager` wrote an object in the old way: it owns what it changed."""
    had, has = (fields.owned(one, custom=False) for one in (live, new))
    changed = frozenset(path for path in has if _value(live, path) != _value(new, path))
    lost = changed | (had - has)
    me: Owner = (manager, "Update", subresource)
    owners = {who: own - lost for who, own in owners_of(live).items()}
    owners[me] = owners.get(me, frozenset()) | changed
    return {who: own for who, own in owners.items() if own}


def entries(resource: Resource, owners: Mapping[Owner, Fields], now: str) -> list[dict[str, Any]]:
    """Return owners as `managedFields` writes them."""
    return [
        {
            "manager": manager,
            "operation": operation,
            "apiVersion": resource.api_version,
            "time": now,
            "fieldsType": "FieldsV1",
            "fieldsV1": fields.to_v1(own),
            **({"subresource": subresource} if subresource else {}),
        }
        for (manager, operation, subresource), own in sorted(owners.items())
    ]
