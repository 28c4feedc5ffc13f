"""Deletion as clusters do it: marked first, gone when nothing holds it any more.

Finalizers hold an object, Pods stay for their grace, dependants go before their owner (Foreground)
or after it (Background), a namespace goes last of all that is in it. Whoever holds the twin decides
how fast: with `slow` nothing that has a grace or a finalizer goes before `finish`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.kubernetes.resource import NAMESPACES, PODS, Object, Resource
from headrace.kubernetes.twin.statuses import not_found, uid_differs
from headrace.kubernetes.twin.store import Key, Store, now

_FOREGROUND = "foregroundDeletion"
_GRACE = 30


class Removal:
    """The garbage collector, the namespace controller and every kubelet's last step."""

    def __init__(self, store: Store) -> None:
        self.slow = False
        """Whether deleted objects wait for `finish`."""
        self._store = store

    def delete(self, resource: Resource, namespace: str, name: str, options: Object) -> Object:
        """Begin to delete an object; return it as it is then."""
        one = self._store.get(resource, namespace, name)
        if one is None:
            raise not_found(resource, name)
        asked = (options.get("preconditions") or {}).get("uid")
        if asked and asked != one["metadata"]["uid"]:
            raise uid_differs(resource, name, asked, one["metadata"]["uid"])
        if options.get("propagationPolicy") == "Foreground":
            held = one["metadata"].setdefault("finalizers", [])
            held += [] if _FOREGROUND in held else [_FOREGROUND]
        if "deletionTimestamp" not in one["metadata"]:
            one["metadata"]["deletionTimestamp"] = now()
            one["metadata"]["deletionGracePeriodSeconds"] = _grace(resource, one)
        if resource == NAMESPACES:
            one["status"] = {"phase": "Terminating"}
        self._store.change(resource, one)
        if not self.slow:
            self.finish()
        return one

    def finish(self) -> None:
        """Let everything go that waits to, until nothing more can."""
        while any(self._step(key) for key in self._store.places()):
            pass

    def _step(self, key: Key) -> bool:
        meta = self._store.meta(key)
        if meta is None:
            return False
        if "deletionTimestamp" not in meta:
            return self._orphaned(key, meta)
        one = self._store.get(*key)
        return one is not None and self._released(key, one)

    def _released(self, key: Key, one: dict[str, Any]) -> bool:
        resource, namespace, name = key
        held = one["metadata"].get("finalizers") or []
        if resource == NAMESPACES and (inside := self._inside(name)):
            return any(self._mark(other) for other in inside)
        if _FOREGROUND in held:
            below = self._dependants(one["metadata"]["uid"])
            if below:
                return any(self._mark(other) for other in below)
            one["metadata"]["finalizers"] = held = [x for x in held if x != _FOREGROUND]
            self._store.change(resource, one)
        if held:
            return False
        self._store.remove(resource, namespace, name)
        return True

    def _orphaned(self, key: Key, meta: Mapping[str, Any]) -> bool:
        """Mark an object whose owners are all gone."""
        owners = meta.get("ownerReferences") or []
        if not owners or self._store.uids() & {owner["uid"] for owner in owners}:
            return False
        return self._mark(key)

    def _mark(self, key: Key) -> bool:
        resource, namespace, name = key
        one = self._store.get(resource, namespace, name)
        if one is None or "deletionTimestamp" in one["metadata"]:
            return False
        one["metadata"]["deletionTimestamp"] = now()
        one["metadata"]["deletionGracePeriodSeconds"] = _grace(resource, one)
        self._store.change(resource, one)
        return True

    def _inside(self, namespace: str) -> list[Key]:
        return [key for key in self._store.places() if key[1] == namespace]

    def _dependants(self, uid: str) -> list[Key]:
        return [
            key
            for key in self._store.places()
            if any(
                owner["uid"] == uid
                for owner in (self._store.meta(key) or {}).get("ownerReferences") or []
            )
        ]


def _grace(resource: Resource, one: Object) -> int:
    if resource != PODS:
        return 0
    return int(one["spec"].get("terminationGracePeriodSeconds", _GRACE))
