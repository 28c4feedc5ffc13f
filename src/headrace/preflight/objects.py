"""Kubernetes objects as far as rules need them: kind, name, namespace, labels, where they stand.

`reading.py` makes them from documents, `workload.py` and `scalers.py` look inside.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from headrace.preflight.node import Node


@dataclass(frozen=True, eq=False)
class Resource:
    """One object of one file."""

    file: str
    root: Node
    document: int = 0
    """Which document of its file, to tell objects of the same name apart."""

    @property
    def kind(self) -> str:
        """Its kind."""
        return self.root["kind"].text

    @property
    def group(self) -> str:
        """The API group; empty for the core one."""
        return self.root["apiVersion"].text.rpartition("/")[0]

    @property
    def name(self) -> str:
        """Its name."""
        return self.root.at("metadata", "name").text

    @property
    def namespace(self) -> str:
        """Its namespace; empty where the file leaves it to whoever applies it."""
        return self.root.at("metadata", "namespace").text

    @property
    def labels(self) -> dict[str, str]:
        """Its labels."""
        return self.root.at("metadata", "labels").labels()

    @property
    def spec(self) -> Node:
        """Its spec."""
        return self.root["spec"]

    @property
    def title(self) -> str:
        """How findings call it."""
        place = f"{self.namespace}/" if self.namespace else ""
        return f"{self.kind} {place}{self.name}"


def same_namespace(one: str, other: str) -> bool:
    """Whether two objects are in one namespace as far as files say; unset fits every one."""
    return not one or not other or one == other


def selects(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Whether every label of a selector is there."""
    return all(labels.get(key) == value for key, value in selector.items())


def matches(selector: Node, labels: Mapping[str, str]) -> bool:
    """Whether a LabelSelector (matchLabels, matchExpressions) takes these labels."""
    return selects(selector["matchLabels"].labels(), labels) and all(
        _expression(one, labels) for one in selector["matchExpressions"].each()
    )


def _expression(one: Node, labels: Mapping[str, str]) -> bool:
    value, values = labels.get(one["key"].text), {v.text for v in one["values"].each()}
    match one["operator"].text:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
    return True


def unpacked(resource: Resource) -> Iterator[Resource]:
    """Yield the objects of a List, or the object itself."""
    if resource.kind == "List" or (resource.kind.endswith("List") and resource.root["items"]):
        for item in resource.root["items"].each():
            yield from unpacked(Resource(resource.file, item, resource.document))
    elif resource.kind:
        yield resource
