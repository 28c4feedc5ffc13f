"""What decides a result: the same fingerprint, the same figures, up to chance.

Two parts are told apart. The *setting* is what served: weights, engine, flags, hardware; its digest
is `key`. The *workload* is what was asked of it; its digest is `workload_key`. `deployment.py`
makes fingerprints from fleet files, `standing.py` says which results still hold.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import msgspec

from headrace.fleet.types import Scalar

Kind = Literal["cpu", "gpu", "emulated", "unknown"]
UNKNOWN = "unknown"
_KEY = 12
"""Hexadecimal digits of a digest: 48 bits, for some thousands of results."""
_CHANCE = ("seed",)
"""Parts of a workload that change its requests, but not what kind of requests they are."""


class Hardware(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where one replica runs; `memory` in bytes, of the machine for a CPU.

    `pace` is what an engine twin was told to take. What a twin does says nothing of hardware.
    """

    kind: Kind = "unknown"
    name: str = UNKNOWN
    """The accelerator's or the CPU's."""
    count: int = 1
    """Accelerators of a replica."""
    cores: float | None = None
    memory: int | None = None
    pace: str = ""

    def __str__(self) -> str:
        """Write it in one breath: `2 x H200 SXM`."""
        if self.kind == "cpu":
            cores = "" if self.cores is None else f", {self.cores:g} cores"
            memory = "" if self.memory is None else f", {self.memory / 2**30:.0f} GiB"
            return f"CPU {self.name}{cores}{memory}"
        pace = f" ({self.pace})" if self.pace else ""
        twin = "engine twins for " if self.kind == "emulated" else ""
        return f"{twin}{self.count} x {self.name}{pace}"


class Fingerprint(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything known to decide a result; what nobody knows is None or `unknown`.

    `flags` go by the deployment's fields (`max_num_seqs`, `engine.flags.enable-prefix-caching`,
    `engine.env.NAME`), normalised by `flag_values`. `headrace` is the version that measured; it is
    kept, but decides nothing: figures are the engine's.
    """

    model: str
    """As the fleet file or the endpoint calls it; it decides only where `weights` is None."""
    weights: str | None = None
    """Their source, as the fleet file names it; it decides only where `checksum` is None."""
    checksum: str | None = None
    """Of the weights, from the lock file; None where they were never pulled."""
    quantization: str | None = None
    engine: str = UNKNOWN
    version: str = UNKNOWN
    flags: Mapping[str, Scalar] = {}
    hardware: Hardware = Hardware()
    headrace: str = ""
    workload: Mapping[str, Scalar] = {}

    @property
    def key(self) -> str:
        """Short digest of the setting."""
        return _digest(setting(self))

    @property
    def workload_key(self) -> str:
        """Short digest of the workload, whatever its seed was."""
        return _digest(asked(self))

    @property
    def emulated(self) -> bool:
        """Whether engine twins stood in for the engine."""
        return self.hardware.kind == "emulated"

    @property
    def unknown(self) -> tuple[str, ...]:
        """What nobody knows of it; of an endpoint that is not ours, nearly everything."""
        known = {
            "weights": self.weights is not None,
            "engine": self.engine != UNKNOWN,
            "hardware": self.hardware.kind != "unknown",
        }
        return tuple(name for name, there in known.items() if not there)

    def anywhere(self) -> Fingerprint:
        """Return it without what tells one CPU from another: for a look at files alone."""
        if self.hardware.kind != "cpu":
            return self
        return msgspec.structs.replace(self, hardware=Hardware(kind="cpu"))


def setting(one: Fingerprint) -> dict[str, str]:
    """Return all that decides the setting, each part in words, sorted by its name."""
    parts = {
        "engine": f"{one.engine} {one.version}",
        "hardware": str(one.hardware),
        "quantization": one.quantization or "as stored",
        "weights": _weights(one),
    }
    flags = {name: written(name, value) for name, value in one.flags.items()}
    return dict(sorted((parts | flags).items()))


def _weights(one: Fingerprint) -> str:
    """Return their checksum: the same bytes from elsewhere are the same; else their source."""
    if one.checksum:
        return f"sha256 {one.checksum[:16]}"
    return one.weights or f"of an endpoint's {one.model}"


def asked(one: Fingerprint) -> dict[str, str]:
    """Return all that decides the workload, as `setting` does."""
    kept = {name: value for name, value in one.workload.items() if not name.endswith(_CHANCE)}
    return dict(sorted((name, written(name, value)) for name, value in kept.items()))


def differences(old: Fingerprint, new: Fingerprint) -> tuple[str, ...]:
    """Say in what two settings differ: `max_num_seqs 16 -> 32`; nothing if `key` is the same."""
    return _differ(setting(old), setting(new))


def workload_differences(old: Fingerprint, new: Fingerprint) -> tuple[str, ...]:
    """Say in what two workloads differ; nothing if `workload_key` is the same."""
    return _differ(asked(old), asked(new))


def written(name: str, value: Scalar) -> str:
    """Write a value as people read it: bytes with their unit, yes and no as YAML has them."""
    if isinstance(value, bool):
        return str(value).lower()
    if name == "kv_cache" and isinstance(value, int):
        return f"{value / 2**30:.6g} GiB"
    return f"{value:g}" if isinstance(value, float) else str(value)


def flag_values(values: Mapping[str, Any]) -> dict[str, Scalar]:
    """Return flags or a workload as a fingerprint has them: flat, sorted, one spelling a value.

    Nested parts get dotted names; None and empty parts are left out; `"16"` and 16.0 are 16, and
    JSON inside a text loses its white space.
    """
    return dict(sorted(_flat("", values)))


def _flat(name: str, value: Any) -> Iterator[tuple[str, Scalar]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(f"{name}.{key}" if name else str(key), inner)
    elif value not in (None, [], ()):
        yield name, _plain(value)


def _plain(value: Any) -> Scalar:
    if isinstance(value, str):
        value = _read(value)
    if isinstance(value, float):
        return int(value) if value.is_integer() else value if math.isfinite(value) else str(value)
    if isinstance(value, bool | int | float | str):
        return value
    return json.dumps(msgspec.to_builtins(value), sort_keys=True, separators=(",", ":"))


def _read(text: str) -> Any:
    """Return the number or the JSON that a text holds, else the text without outer space."""
    try:
        found = json.loads(text, parse_constant=_no_json)
    except (ValueError, RecursionError):
        return text.strip()
    return text.strip() if found is None or isinstance(found, str | bool) else found


def _no_json(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _differ(old: Mapping[str, str], new: Mapping[str, str]) -> tuple[str, ...]:
    names = dict.fromkeys((*old, *new))
    pairs = ((name, old.get(name, "unset"), new.get(name, "unset")) for name in names)
    return tuple(f"{name} {was} -> {now}" for name, was, now in pairs if was != now)


def _digest(parts: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:_KEY]
