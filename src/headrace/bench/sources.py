"""Whose names a metrics page has: told by the page's owner, else by the page itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import cast, get_args

from headrace.engines.named import engine_named
from headrace.fleet.types import EngineName

_SIGNS: Mapping[str, EngineName] = {
    "vllm:": "vllm",
    "sglang:": "sglang",
    "tgi_": "tgi",
    "trtllm_": "trtllm",
    "nv_": "triton",
}
_ERAS: Mapping[EngineName, tuple[str, ...]] = {
    "vllm": ("0.33.0", "0.12.0", "0.10.2", "0.8.5"),
    "sglang": ("99.0.0", "0.4.0"),
}
"""A version of each time between two renames, the newest first."""


def sources_of(engine: str, version: str, text: str) -> Mapping[str, Sequence[str]]:
    """Return the names to read on a page by canonical name; ValueError if no engine is known by it.

    Of an unknown version all names count that the engine ever had.
    """
    known = cast("EngineName", engine) if engine in get_args(EngineName) else _signed(text)
    return _names(known, version)


def _signed(text: str) -> EngineName:
    for line in text.splitlines():
        for sign, engine in _SIGNS.items():
            if line.startswith((sign, f"# TYPE {sign}")):
                return engine
    raise ValueError(
        "no engine is known that has such metrics (the page of a gateway is gateway=http://…)"
    )


@cache
def _names(engine: EngineName, version: str) -> Mapping[str, tuple[str, ...]]:
    eras = (version,) if version else _ERAS.get(engine, ("99.0.0",))
    names: dict[str, dict[str, None]] = {}
    for era in eras:
        for name, wires in engine_named(engine, era).metric_sources().items():
            names.setdefault(name, {}).update(dict.fromkeys(wires))
    return {name: tuple(wires) for name, wires in names.items()}
