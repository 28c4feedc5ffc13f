"""What a request asks of the API server, and what it gets: paths, verbs and selectors."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from headrace.kubernetes.resource import NAMESPACES, PODS, Object, Resource
from headrace.kubernetes.twin.removal import Removal
from headrace.kubernetes.twin.statuses import (
    Refused,
    bad_request,
    expired,
    forbidden,
    no_such_path,
    not_found,
    terminating,
    unauthorized,
)
from headrace.kubernetes.twin.store import Store

_FIELDS: Mapping[str, Callable[[Object], Any]] = {
    "metadata.name": lambda one: one["metadata"]["name"],
    "metadata.namespace": lambda one: one["metadata"].get("namespace"),
    "involvedObject.kind": lambda one: one["involvedObject"]["kind"],
    "involvedObject.name": lambda one: one["involvedObject"]["name"],
}
_IN = re.compile(r"(?P<key>[^\s,]+) in \((?P<values>[^)]*)\)")


@dataclass
class Asked:
    """One request, taken apart."""

    method: str
    target: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def __post_init__(self) -> None:
        split = urlsplit(self.target)
        self.path = split.path
        self.query = {key: values[-1] for key, values in parse_qs(split.query).items()}


@dataclass(frozen=True)
class Place:
    """Where a path leads: a kind, and in it a namespace, an object, a subresource."""

    resource: Resource
    namespace: str
    name: str
    below: str
    rest: str = ""


@dataclass(frozen=True)
class Answer:
    """A body that is there at once."""

    code: int
    body: bytes
    content_type: str = "application/json"


@dataclass(frozen=True)
class Watched:
    """A watch to serve from a version on; `matches` is its selector."""

    resource: Resource
    namespace: str
    version: int
    bookmarks: bool
    seconds: float
    matches: Callable[[Object], bool]


class Requests:
    """Everything but the sockets."""

    def __init__(self, store: Store, removal: Removal, kinds: Iterable[Resource]) -> None:
        self.kinds = list(kinds)
        self.token = "twin"  # noqa: S105 - of a server for tests
        self.forbidden: set[tuple[str, str]] = set()
        """(verb, plural) that the caller may not do."""
        self.logs: dict[tuple[str, str, str], list[str]] = {}
        """By namespace, Pod and container; `CONTAINER/previous` is its former self's."""
        self.pages: dict[str, str] = {}
        """What Pods answer through the API server: by `NAMESPACE/POD:PORT/PATH`."""
        self._store, self._removal = store, removal
        self._pages: dict[str, tuple[int, list[Object]]] = {}

    def handle(self, asked: Asked) -> Answer | Watched:
        """Do what is asked; Refused if not."""
        if asked.headers.get("authorization") != f"Bearer {self.token}":
            raise unauthorized()
        if (listed := self._discovery(asked.path)) is not None:
            return _json(200, listed)
        place = self._place(asked.path)
        verb = _verb(asked, place)
        if (verb, place.resource.plural) in self.forbidden:
            raise forbidden(verb, place.resource, place.namespace)
        return self._done(verb, place, asked)

    def _done(self, verb: str, place: Place, asked: Asked) -> Answer | Watched:
        match verb:
            case "get":
                return self._get(place, asked.query)
            case "list":
                return self._list(place, asked.query)
            case "watch":
                return self._watch(place, asked.query)
            case "patch":
                return self._apply(place, asked)
            case "delete":
                options = json.loads(asked.body) if asked.body else {}
                return _json(200, self._delete(place, options, asked.query))
        raise Refused({**bad_request(f"the twin has no {asked.method}").status, "code": 405})

    def _get(self, place: Place, query: Mapping[str, str]) -> Answer:
        return self._below(place, query) if place.below else _json(200, self._object(place))

    def _discovery(self, path: str) -> dict[str, Any] | None:
        """Return the kinds of an API group's version if that is what the path names."""
        if path == "/version":
            return {"major": "1", "minor": "36", "gitVersion": "v1.36.2"}
        parts = path.strip("/").split("/")
        if parts[0] == "apis" and len(parts) == len(("apis", "group", "version")):
            group, version = parts[1:]
        elif parts == ["api", "v1"]:
            group, version = "", "v1"
        else:
            return None
        found = [one for one in self.kinds if (one.group, one.version) == (group, version)]
        if not found:
            raise no_such_path()
        return {
            "kind": "APIResourceList",
            "apiVersion": "v1",
            "groupVersion": found[0].api_version,
            "resources": [_listed(one) for one in found],
        }

    def _place(self, path: str) -> Place:
        parts = path.strip("/").split("/")
        group, version, rest = (
            ("", parts[1], parts[2:])
            if parts[0] == "api"
            else (parts[1], parts[2], parts[3:])
            if parts[0] == "apis" and len(parts) > len(("apis", "group", "version"))
            else ("", "", [])
        )
        namespace = ""
        if len(rest) > len(("namespaces", "name")) and rest[0] == "namespaces":
            namespace, rest = rest[1], rest[2:]
        for one in self.kinds:
            if rest and (one.group, one.version, one.plural) == (group, version, rest[0]):
                name, below, *more = [*rest[1:], "", ""]
                return Place(one, namespace, name, below, "/".join(part for part in more if part))
        raise no_such_path()

    def _object(self, place: Place) -> dict[str, Any]:
        one = self._store.get(place.resource, place.namespace, place.name)
        if one is None:
            raise not_found(place.resource, place.name)
        return one

    def _list(self, place: Place, query: Mapping[str, str]) -> Answer:
        if token := query.get("continue"):
            if token not in self._pages:
                raise Refused(expired("The provided continue parameter is too old"))
            version, items = self._pages.pop(token)
        else:
            found = self._store.all(place.resource, place.namespace)
            version, items = self._store.version, [one for one in found if _selector(query)(one)]
        limit = int(query.get("limit") or len(items) or 1)
        more: dict[str, Any] = {}
        if len(items) > limit:
            token = f"{version}-{place.resource.plural}-{len(items)}"
            self._pages[token] = (version, items[limit:])
            more = {"continue": token, "remainingItemCount": len(items) - limit}
        bare = [_bare(one) for one in items[:limit]]
        return _json(
            200,
            {
                "kind": f"{place.resource.kind}List",
                "apiVersion": place.resource.api_version,
                "metadata": {"resourceVersion": str(version), **more},
                "items": bare,
            },
        )

    def _watch(self, place: Place, query: Mapping[str, str]) -> Watched:
        version = int(query.get("resourceVersion") or self._store.version)
        return Watched(
            place.resource,
            place.namespace,
            version,
            query.get("allowWatchBookmarks") == "true",
            float(query.get("timeoutSeconds") or 300),
            _selector(query),
        )

    def _apply(self, place: Place, asked: Asked) -> Answer:
        kind = asked.headers.get("content-type", "")
        if kind != "application/apply-patch+yaml":
            raise Refused({**bad_request(f"the twin takes no {kind}").status, "code": 415})
        manager = asked.query.get("fieldManager")
        if not manager:
            raise bad_request("PatchOptions.meta.k8s.io is invalid: fieldManager: Required value")
        wanted = json.loads(asked.body)
        self._check_body(place, wanted)
        if place.namespace:
            self._check_namespace(place)
        one, new = self._store.apply(
            place.resource,
            wanted,
            manager,
            force=asked.query.get("force") == "true",
            dry_run=asked.query.get("dryRun") == "All",
        )
        return _json(201 if new else 200, one)

    def _check_body(self, place: Place, wanted: Object) -> None:
        named = (wanted["metadata"]["name"], wanted["metadata"].get("namespace", ""))
        if named != (place.name, place.namespace):
            raise bad_request("the name or namespace of the object does not match that of the URL")
        if "managedFields" in wanted["metadata"]:
            raise bad_request("metadata.managedFields must be nil")

    def _check_namespace(self, place: Place) -> None:
        space = self._store.get(NAMESPACES, "", place.namespace)
        if space is None:
            raise not_found(NAMESPACES, place.namespace)
        there = self._store.get(place.resource, place.namespace, place.name)
        if there is None and "deletionTimestamp" in space["metadata"]:
            raise terminating(place.resource, place.name, place.namespace)

    def _delete(self, place: Place, options: Object, query: Mapping[str, str]) -> Object:
        if query.get("dryRun") == "All":
            return self._object(place)
        return self._removal.delete(place.resource, place.namespace, place.name, options)

    def _below(self, place: Place, query: Mapping[str, str]) -> Answer:
        if place.below == "proxy":
            where = f"{place.namespace}/{place.name}/{place.rest}"
            if where not in self.pages:
                raise not_found(PODS, place.name)
            return Answer(200, self.pages[where].encode(), "text/plain")
        if place.below != "log":
            raise no_such_path()
        self._object(place)
        former = "/previous" if query.get("previous") == "true" else ""
        name = query.get("container", "")
        lines = self.logs.get((place.namespace, place.name, f"{name}{former}"))
        if lines is None:
            told = (
                f'container "{name}" in pod "{place.name}" is waiting to start: ContainerCreating'
            )
            raise bad_request(told)
        shown = lines[-int(query["tailLines"]) :] if "tailLines" in query else lines
        return Answer(200, "".join(f"{line}\n" for line in shown).encode(), "text/plain")


def _verb(asked: Asked, place: Place) -> str:
    if asked.method == "GET" and not place.name:
        return "watch" if asked.query.get("watch") == "true" else "list"
    return asked.method.lower()


def _json(code: int, body: Object) -> Answer:
    return Answer(code, json.dumps(body).encode())


def _listed(one: Resource) -> dict[str, Any]:
    verbs = ["create", "delete", "get", "list", "patch", "update", "watch"]
    return {
        "name": one.plural,
        "singularName": one.kind.lower(),
        "namespaced": one.namespaced,
        "kind": one.kind,
        "verbs": verbs,
    }


def _bare(one: Object) -> dict[str, Any]:
    """Return an item as lists have it: without the kind, which is the list's."""
    return {key: value for key, value in one.items() if key not in ("apiVersion", "kind")}


def _selector(query: Mapping[str, str]) -> Callable[[Object], bool]:
    labels = _labels(query.get("labelSelector", ""))
    values = _pairs(query.get("fieldSelector", ""))

    def matches(one: Object) -> bool:
        has = one["metadata"].get("labels") or {}
        return all(has.get(key) in wanted for key, wanted in labels) and all(
            _FIELDS[key](one) == value for key, value in values
        )

    return matches


def _labels(text: str) -> list[tuple[str, set[str]]]:
    """Return the values that each label may have: `key=value` or `key in (value,value)`."""
    sets = [(one["key"], set(one["values"].split(","))) for one in _IN.finditer(text)]
    return [*sets, *((key, {value}) for key, value in _pairs(_IN.sub("", text)))]


def _pairs(text: str) -> list[tuple[str, str]]:
    parts = [part.partition("=") for part in text.split(",") if part]
    return [(key, value.removeprefix("=")) for key, _, value in parts]
