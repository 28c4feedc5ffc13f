"""Objects, the version of each, and the history from which watches go on.

One counter gives every write its resourceVersion, as etcd's revision does. The history is as long
as the store is told to remember; who asks for something older is told 410. A write that changes
nothing has no version, which is how a client can see that it was idempotent.
"""

from __future__ import annotations

import asyncio
import copy
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from headrace.kubernetes.resource import Object, Resource
from headrace.kubernetes.twin.defaults import check, with_defaults
from headrace.kubernetes.twin.ownership import Owner, applied, entries, owners_of, updated
from headrace.kubernetes.twin.statuses import not_found

Key = tuple[Resource, str, str]
"""Resource, namespace (empty: none), name."""
Type = Literal["ADDED", "MODIFIED", "DELETED"]


@dataclass(frozen=True)
class Event:
    """One write; `old` is the object before it, for watches whose selector it left."""

    version: int
    type: Type
    resource: Resource
    object: dict[str, Any]
    old: dict[str, Any] | None


def now() -> str:
    """Return the time as Kubernetes writes it, to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


class Store:
    """All objects of the twin."""

    def __init__(self) -> None:
        self.version = 1
        self.oldest = 1
        """Watches from before this version are told 410."""
        self.written = asyncio.Event()
        """Set, and replaced, at each write."""
        self._objects: dict[Key, dict[str, Any]] = {}
        self._history: list[Event] = []

    def get(self, resource: Resource, namespace: str, name: str) -> dict[str, Any] | None:
        """Return a copy of an object."""
        return copy.deepcopy(self._objects.get((resource, namespace, name)))

    def all(self, resource: Resource | None = None, namespace: str = "") -> list[dict[str, Any]]:
        """Return copies of objects by namespace and name; without a namespace those of all."""
        found = (
            (key[1:], one)
            for key, one in self._objects.items()
            if (resource is None or key[0] == resource) and (not namespace or key[1] == namespace)
        )
        return [copy.deepcopy(one) for _, one in sorted(found, key=lambda pair: pair[0])]

    def places(self) -> list[Key]:
        """Return where all objects are."""
        return list(self._objects)

    def meta(self, place: Key) -> Mapping[str, Any] | None:
        """Return an object's metadata to look at, None if it is not there."""
        found = self._objects.get(place)
        return None if found is None else found["metadata"]

    def uids(self) -> set[str]:
        """Return which objects there are."""
        return {one["metadata"]["uid"] for one in self._objects.values()}

    def since(self, version: int, resource: Resource) -> Iterator[Event]:
        """Yield writes of a kind after a version."""
        yield from (
            one for one in self._history if one.version > version and one.resource == resource
        )

    def compact(self) -> None:
        """Forget the history: whoever goes on from an older version must list anew."""
        self._history.clear()
        self.oldest = self.version

    def wake(self) -> None:
        """Let all watches look again."""
        self.written.set()
        self.written = asyncio.Event()

    def apply(
        self, resource: Resource, wanted: Object, manager: str, *, force: bool, dry_run: bool
    ) -> tuple[dict[str, Any], bool]:
        """Do a server-side apply; return the object and whether it is new."""
        name, space = wanted["metadata"]["name"], wanted["metadata"].get("namespace", "")
        live = self._objects.get((resource, space, name))
        done = applied(resource, live, wanted, manager, force=force)
        one = with_defaults(resource, done.object)
        check(resource, live, one)
        one["metadata"].setdefault("uid", str(uuid.uuid4()))
        one["metadata"].setdefault("creationTimestamp", now())
        return self._kept(resource, live, one, done.owners, dry_run=dry_run), live is None

    def change(
        self,
        resource: Resource,
        one: Object,
        manager: str = "kube-controller-manager",
        subresource: str = "",
    ) -> dict[str, Any]:
        """Write an object in the old way, as controllers and people do."""
        space, name = one["metadata"].get("namespace", ""), one["metadata"]["name"]
        live = self._objects.get((resource, space, name))
        new = with_defaults(resource, copy.deepcopy(dict(one)))
        old = live["metadata"] if live else {}
        new["metadata"].setdefault("uid", old.get("uid") or str(uuid.uuid4()))
        new["metadata"].setdefault("creationTimestamp", old.get("creationTimestamp") or now())
        before = live or {"metadata": {}}
        owners = updated(before, new, manager, subresource)
        return self._kept(resource, live, new, owners)

    def remove(self, resource: Resource, namespace: str, name: str) -> None:
        """Take an object away; its finalizers are `removal.py`'s concern."""
        gone = self._objects.pop((resource, namespace, name), None)
        if gone is None:
            raise not_found(resource, name)
        self._write("DELETED", resource, gone, gone)

    def _kept(
        self,
        resource: Resource,
        live: dict[str, Any] | None,
        one: dict[str, Any],
        owners: Mapping[Owner, Any],
        *,
        dry_run: bool = False,
    ) -> dict[str, Any]:
        meta = one["metadata"]
        same_owners = live is not None and owners_of(live) == dict(owners)
        if live is not None and same_owners and _content(live) == _content(one):
            return copy.deepcopy(live)
        told = live["metadata"]["managedFields"] if live is not None and same_owners else None
        meta["managedFields"] = told or entries(resource, owners, now())
        if resource.kind not in ("ConfigMap", "Secret", "Event", "Namespace", "Service"):
            meta["generation"] = _generation(live, one)
        if dry_run:
            return copy.deepcopy(one)
        space = meta.get("namespace", "")
        self._objects[resource, space, meta["name"]] = one
        self._write("MODIFIED" if live is not None else "ADDED", resource, one, live)
        return copy.deepcopy(one)

    def _write(
        self, kind: Type, resource: Resource, one: dict[str, Any], old: dict[str, Any] | None
    ) -> None:
        self.version += 1
        one["metadata"]["resourceVersion"] = str(self.version)
        told = copy.deepcopy(one)
        self._history.append(Event(self.version, kind, resource, told, copy.deepcopy(old)))
        self.wake()


def _generation(live: Object | None, one: Object) -> int:
    if live is None:
        return 1
    same = live.get("spec") == one.get("spec")
    return int(live["metadata"].get("generation", 1)) + (not same)


def _content(one: Object) -> dict[str, Any]:
    meta = {
        key: value
        for key, value in one["metadata"].items()
        if key not in ("managedFields", "resourceVersion", "generation")
    }
    return {**one, "metadata": meta}
