"""Which fields an object has: the paths of server-side apply, and their FieldsV1 form.

Maps are owned key by key. A list is one field, unless its schema gives its items keys
(`x-kubernetes-list-map-keys`) or makes it a set; then each item is a field of its own. The table
has the lists of Kubernetes' own kinds that Headrace writes; custom resources' lists are atomic.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

Step = tuple[str, str]
"""`("f", name)`, `("k", keys as JSON)` or `("v", value as JSON)`."""
Path = tuple[Step, ...]
Fields = frozenset[Path]

_BY_KEYS: Mapping[str, tuple[str, ...]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "volumes": ("name",),
    "env": ("name",),
    "volumeMounts": ("mountPath",),
    "imagePullSecrets": ("name",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
    "conditions": ("type",),
    "ownerReferences": ("uid",),
}
_SETS = frozenset({"finalizers"})
_DEFAULTS = {"protocol": "TCP"}
"""Keys that an item may leave out."""
_NOT_OWNED = frozenset(
    {
        (("f", "apiVersion"),),
        (("f", "kind"),),
        *(
            (("f", "metadata"), ("f", name))
            for name in (
                "name",
                "namespace",
                "uid",
                "resourceVersion",
                "generation",
                "creationTimestamp",
                "managedFields",
                "deletionTimestamp",
                "deletionGracePeriodSeconds",
            )
        ),
    }
)
_ATOMIC_MAPS = frozenset({"selector", "matchLabels", "secretKeyRef", "configMapKeyRef"})


def list_keys(name: str, value: list[Any]) -> tuple[str, ...]:
    """Return the keys of a list's items; none: the list is atomic or a set."""
    if name == "ports":
        first = value[0] if value and isinstance(value[0], dict) else {}
        return ("containerPort" if "containerPort" in first else "port", "protocol")
    return _BY_KEYS.get(name, ())


def is_set(name: str) -> bool:
    """Whether a list is a set of values."""
    return name in _SETS


def is_atomic(name: str) -> bool:
    """Whether a map is owned as a whole, as Deployment's and Service's selectors are."""
    return name in _ATOMIC_MAPS


def key_of(item: Mapping[str, Any], keys: tuple[str, ...]) -> Step:
    """Return the step to a list's item."""
    values = {key: item.get(key, _DEFAULTS.get(key)) for key in keys}
    return "k", json.dumps(values, separators=(",", ":"))


def value_step(value: Any) -> Step:
    """Return the step to a set's item."""
    return "v", json.dumps(value)


def owned(one: Mapping[str, Any], *, custom: bool) -> Fields:
    """Return the fields that an applied object claims; `custom`: of a custom resource."""
    return frozenset(_below(one, (), custom=custom)) - _NOT_OWNED


def _below(value: Any, path: Path, *, custom: bool) -> Iterator[Path]:
    name = path[-1][1] if path and path[-1][0] == "f" else ""
    if isinstance(value, Mapping) and value and not is_atomic(name):
        if path and path[-1][0] == "k":
            yield path
        for key, item in value.items():
            yield from _below(item, (*path, ("f", key)), custom=custom)
    elif isinstance(value, list) and not custom and is_set(name):
        yield from ((*path, value_step(item)) for item in value)
    elif isinstance(value, list) and not custom and (keys := list_keys(name, value)):
        for item in value:
            yield from _below(item, (*path, key_of(item, keys)), custom=custom)
    elif path:
        yield path


def to_v1(fields: Fields) -> dict[str, Any]:
    """Return fields as `managedFields` writes them."""
    tree: dict[str, Any] = {}
    for path in sorted(fields):
        at = tree
        for kind, name in path:
            at = at.setdefault(f"{kind}:{name}", {})
        if path[-1][0] == "k":
            at["."] = {}
    return tree


def from_v1(tree: Mapping[str, Any], path: Path = ()) -> Fields:
    """Return the fields of a `fieldsV1`."""
    found: set[Path] = set()
    for key, below in tree.items():
        if key == ".":
            found.add(path)
            continue
        kind, _, name = key.partition(":")
        step = (*path, (kind, name))
        found |= from_v1(below, step) if below else {step}
    return frozenset(found)


def words(path: Path) -> str:
    """Return a path as conflicts name it: `.spec.template.spec.containers[name="a"].image`."""
    parts = []
    for kind, name in path:
        if kind == "f":
            parts.append(f".{name}")
        elif kind == "k":
            told = ",".join(f"{k}={json.dumps(v)}" for k, v in json.loads(name).items())
            parts.append(f"[{told}]")
        else:
            parts.append(f"[={name}]")
    return "".join(parts)
