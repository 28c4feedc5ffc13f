"""What a cluster offers and wants, which no fleet file says: the choices of `headrace render`.

Everything here may differ between two clusters that run the same file; what is the same in both
belongs into the file. `render.py` hands it to the objects.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from types import MappingProxyType
from typing import Literal, get_args

from packaging.version import InvalidVersion, Version

Left = Literal["keda", "prometheus", "lws", "gateway-api"]
"""What may be left out on purpose, because the cluster has no such CRDs."""
BEHAVIOR_SINCE = Version("2.17")
"""From here on KEDA's fallback may say `currentReplicasIfHigher` (ScaledObject reference, 2.17)."""
OLDEST_KEDA = Version("2.16")
_HOST = re.compile(r"(\*\.)?[a-z0-9]([-a-z0-9.]*[a-z0-9])?")


class OptionError(ValueError):
    """An option of `headrace render` that cannot be; the message says what to write instead."""


@dataclass(frozen=True)
class Expose:
    """How clients from outside reach the gateway; `parent` is NAMESPACE/NAME of a Gateway."""

    kind: Literal["none", "ingress", "httproute"] = "none"
    host: str = ""
    parent: str = ""


@dataclass(frozen=True)
class Storage:
    """Where weights are kept: a volume that many nodes mount, or a folder of each node."""

    kind: Literal["rwx", "node-local"] = "rwx"
    storage_class: str | None = None
    """None: the cluster's default class."""


@dataclass(frozen=True)
class Options:
    """What the cluster decides; the defaults are those of the usual charts."""

    namespace: str | None = None
    """None: the fleet's name."""
    image: str = f"headrace:{metadata.version('headrace')}"
    gateways: int = 2
    expose: Expose = Expose()
    scaler: Literal["external", "prometheus"] = "external"
    without: frozenset[Left] = frozenset()
    storage: Storage = Storage()
    keda: Version = field(default_factory=lambda: Version("2.20"))
    """The cluster's KEDA: the oldest field set that it must accept."""
    keda_namespace: str = "keda"
    prometheus: str = "http://prometheus-operated.monitoring.svc:9090"
    prometheus_namespace: str = "monitoring"
    token_secret: str = "hf-token"  # noqa: S105 - the name of a Secret
    gpus: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    """GPUs that the cluster has for a hardware entry, where that is known."""


def parse_expose(text: str) -> Expose:
    """Read `none`, `ingress=HOST` or `httproute=HOST[@NAMESPACE/GATEWAY]`; else OptionError."""
    kind, _, rest = text.partition("=")
    host, at, parent = rest.partition("@")
    if text == "none":
        return Expose()
    named = kind in ("ingress", "httproute") and _HOST.fullmatch(host)
    if not named or (at and (kind == "ingress" or parent.count("/") != 1)):
        raise OptionError(
            f"--expose {text}: write none, ingress=HOST or httproute=HOST@NAMESPACE/GATEWAY"
        )
    return Expose("ingress" if kind == "ingress" else "httproute", host, parent)


def parse_storage(text: str) -> Storage:
    """Read `rwx`, `rwx=CLASS` or `node-local`; else OptionError."""
    kind, _, name = text.partition("=")
    if text == "node-local":
        return Storage("node-local")
    if kind != "rwx" or text == "rwx=":
        raise OptionError(f"--storage {text}: write rwx, rwx=CLASS or node-local")
    return Storage("rwx", name or None)


def parse_without(text: str) -> frozenset[Left]:
    """Read a list such as `keda,prometheus`; else OptionError."""
    known = {name: name for name in get_args(Left)}
    asked = [part.strip() for part in text.split(",") if part.strip()]
    unknown = [part for part in asked if part not in known]
    if unknown:
        raise OptionError(f"--without {unknown[0]}: can be left out: {', '.join(known)}")
    return frozenset(known[part] for part in asked)


def parse_keda(text: str) -> Version:
    """Read the version of the cluster's KEDA; OptionError if it is none or too old."""
    try:
        version = Version(text)
    except InvalidVersion:
        raise OptionError(f"--keda {text}: write its version, such as 2.20") from None
    if version < OLDEST_KEDA:
        raise OptionError(f"--keda {text}: Headrace writes for KEDA {OLDEST_KEDA} and newer")
    return version


def parse_gpus(texts: list[str], known: Mapping[str, object]) -> Mapping[str, int]:
    """Read `HARDWARE=COUNT` of hardware entries; else OptionError."""
    found = {}
    for text in texts:
        name, _, count = text.partition("=")
        if name not in known or not count.isdecimal():
            raise OptionError(f"--gpus {text}: write HARDWARE=COUNT; known: {', '.join(known)}")
        found[name] = int(count)
    return found
