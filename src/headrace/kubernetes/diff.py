"""What an apply would change, as the API server itself sees it: a dry run, compared with what is.

The server fills in defaults and asks its admission webhooks, so two objects that look different in
a file may be the same. `apply.py` acts on the same result that `headrace diff` shows.
"""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from headrace.kubernetes import yaml
from headrace.kubernetes.cluster import Cluster
from headrace.kubernetes.discovery import Kinds, discover, require
from headrace.kubernetes.errors import ConflictError, FieldConflict, ForbiddenError, RejectedError
from headrace.kubernetes.handover import KEEPER, kept_count
from headrace.kubernetes.hidden import Hiding
from headrace.kubernetes.names import FIELD_MANAGER
from headrace.kubernetes.order import MADE, ordered
from headrace.kubernetes.prune import find_ours, leftovers
from headrace.kubernetes.resource import NAMESPACES, Object, called, kind_of

_AT_ONCE = 8
"""Requests at a time."""
_SERVERS = frozenset(
    {
        "managedFields",
        "resourceVersion",
        "uid",
        "generation",
        "creationTimestamp",
        "selfLink",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
    }
)
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


@dataclass(frozen=True)
class Wanted:
    """A fleet as it should be in a cluster."""

    fleet: str
    namespace: str
    objects: tuple[Object, ...]


@dataclass(frozen=True)
class Difference:
    """One object: what it is, what it would be, and whose fields that would take."""

    what: Literal["new", "changed", "same", "removed"]
    object: Object
    """As it is wanted; of a removed one, as it is."""
    before: Object | None
    after: Object | None
    conflicts: tuple[FieldConflict, ...] = ()
    count: int | None = None
    """Replicas that have to be held while the autoscaler takes over (`handover.py`)."""
    own: bool = False
    """Whether fields only have to be taken back from a manager of our own."""

    @property
    def name(self) -> str:
        """How people call it."""
        return called(self.object)


@dataclass(frozen=True)
class Changes:
    """All differences in the order of sending, removals last; `notes` say what was not seen."""

    kinds: Kinds
    differences: tuple[Difference, ...]
    notes: tuple[str, ...] = ()

    @property
    def any(self) -> bool:
        """Whether there is something to do."""
        return any(one.what != "same" for one in self.differences)

    @property
    def conflicts(self) -> list[Difference]:
        """Those that would take fields from others."""
        return [one for one in self.differences if one.conflicts]

    def of(self, what: str) -> list[Difference]:
        """Return those of a kind."""
        return [one for one in self.differences if one.what == what]

    def summary(self) -> str:
        """Return how many are new, changed, removed and the same."""
        words = {"new": "new", "changed": "changed", "removed": "to remove", "same": "unchanged"}
        counts = [(len(self.of(what)), text) for what, text in words.items()]
        return ", ".join(f"{count} {text}" for count, text in counts if count) or "nothing"


async def find_changes(cluster: Cluster, wanted: Wanted) -> Changes:
    """Return what applying would do; nothing is changed.

    MissingKindsError, or RejectedError with everything that the server refuses.
    """
    versions = {kind_of(one)[0] for one in wanted.objects} | {version for version, _ in MADE}
    kinds = await discover(cluster, versions)
    require(wanted.objects, kinds)
    space = await _namespace(cluster, wanted.namespace)
    objects = ordered(wanted.objects)
    if space.hidden:
        objects = [one for one in objects if one["kind"] != NAMESPACES.kind]
    found = await _all(cluster, kinds, objects, new=not space.there)
    there = await find_ours(cluster, kinds, wanted.namespace, wanted.fleet) if space.there else []
    gone = [Difference("removed", one, one, None) for one in leftovers(there, wanted.objects)]
    return Changes(kinds, (*found, *gone), space.notes)


@dataclass(frozen=True)
class _Space:
    """Whether the namespace is there; `hidden`: the caller may not look, so it has to be."""

    there: bool
    hidden: bool = False
    notes: tuple[str, ...] = ()


async def _namespace(cluster: Cluster, name: str) -> _Space:
    try:
        found = await cluster.get(NAMESPACES, name, "")
    except ForbiddenError:
        note = f"you may not look at namespaces, so namespace {name} is taken as it is"
        return _Space(there=True, hidden=True, notes=(note,))
    if found is None:
        note = "the namespace is new, so the API server could not check what goes into it"
        return _Space(there=False, notes=(note,))
    if "deletionTimestamp" in found["metadata"]:
        raise RejectedError(f"namespace {name} is still being deleted; repeat this when it is gone")
    return _Space(there=True)


async def _all(
    cluster: Cluster, kinds: Kinds, objects: Iterable[Object], *, new: bool
) -> list[Difference]:
    """Return each object's difference; RejectedError with everything that the server refuses."""
    limit = asyncio.Semaphore(_AT_ONCE)

    async def one_of(one: Object) -> Difference | RejectedError:
        if new:
            return Difference("new", one, None, one)
        async with limit:
            try:
                return await _difference(cluster, kinds, one)
            except RejectedError as error:
                return error

    found = await asyncio.gather(*(one_of(one) for one in objects))
    refused = [str(one) for one in found if isinstance(one, RejectedError)]
    if refused:
        raise RejectedError("\n  ".join(["nothing was changed:", *refused]))
    return [one for one in found if isinstance(one, Difference)]


async def _difference(cluster: Cluster, kinds: Kinds, one: Object) -> Difference:
    resource = kinds[kind_of(one)]
    meta = one["metadata"]
    live = await cluster.get(resource, meta["name"], meta.get("namespace", ""))
    conflicts: tuple[FieldConflict, ...] = ()
    own = False
    try:
        after = await cluster.apply(resource, one, dry_run=True)
    except ConflictError as error:
        conflicts = tuple(each for each in error.conflicts if each.manager != KEEPER)
        own = not conflicts
        after = await cluster.apply(resource, one, dry_run=True, force=True)
    count = kept_count(live, one)
    if count is not None:
        after["spec"]["replicas"] = count
    if live is None:
        return Difference("new", one, None, after)
    owned = any(
        entry["manager"] == FIELD_MANAGER for entry in live["metadata"].get("managedFields") or []
    )
    same = owned and _plain(live) == _plain(after) and count is None
    return Difference("same" if same else "changed", one, live, after, conflicts, count, own)


def _plain(one: Object) -> dict[str, Any]:
    """Return what of an object people decide."""
    meta = {key: value for key, value in one["metadata"].items() if key not in _SERVERS}
    notes = {
        key: value for key, value in (meta.get("annotations") or {}).items() if key != _LAST_APPLIED
    }
    meta = {key: value for key, value in meta.items() if key != "annotations"}
    meta |= {"annotations": notes} if notes else {}
    rest = {key: value for key, value in one.items() if key not in ("metadata", "status")}
    return {**rest, "metadata": meta}


def lines(difference: Difference) -> Iterator[str]:
    """Yield a difference as text: `+`, `-` or a unified diff; no secret is in it."""
    match difference.what:
        case "same":
            return
        case "new":
            yield f"+ {difference.name} (new)"
        case "removed":
            yield f"- {difference.name} (ours, and not in the file any more)"
        case "changed":
            yield f"~ {difference.name}"
            yield from _hunks(difference)
    for manager, fields in by_manager(difference.conflicts):
        yield f"! {', '.join(fields)}: set by {manager}; --force-conflicts takes over"


def by_manager(conflicts: Iterable[FieldConflict]) -> list[tuple[str, list[str]]]:
    """Return conflicting fields by the manager that set them."""
    found: dict[str, list[str]] = {}
    for one in conflicts:
        found.setdefault(one.manager, []).append(one.field)
    return list(found.items())


def _hunks(difference: Difference) -> Iterator[str]:
    hiding = Hiding()
    before, after = (
        yaml.write([_sorted(hiding.hide(_plain(one)))]).splitlines()
        for one in (difference.before or {}, difference.after or {})
    )
    told: Sequence[str] = list(difflib.unified_diff(before, after, lineterm="", n=2))[2:]
    if not told:
        yield "  only who owns its fields"
    yield from (f"  {line}" for line in told)


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value
