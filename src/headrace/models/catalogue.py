"""Well-known models, so that a plan needs neither their files nor a network.

`known_models/` holds what their config.json says, as far as it decides memory and speed, with its
source. A fine-tuned or quantized variant is found by its name when that only adds the usual words.
"""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources

from headrace.models.architecture import Architecture
from headrace.models.errors import UnknownError
from headrace.models.read_architecture import read_architecture
from headrace.models.weight_bytes import SCHEMES

_SCHEMES = {
    "awq": "awq", "gptq": "gptq", "fp8": "fp8", "w8a8": "int8",
    "w4a16": "w4a16", "bnb": "bnb-nf4", "mxfp4": "mxfp4", "nvfp4": "nvfp4",
}  # fmt: skip
_INNER = re.compile(r"\.(?=i?q\d|w\d)")
"""A dot that separates words, as in `quantized.w8a8` and `v1.0.Q4_K_M`."""
_PLAIN = {"bf16", "fp16", "gguf"}
"""Words for 16 bits: a GGUF is turned into bfloat16 when it is pulled (`gguf.py`)."""
_BITS = {"int4", "int8", "4bit", "8bit", "g128", "dynamic", "quantized", "hf"}
_KINDS = {"instruct", "it", "pt", "chat", "base", "meta", "v0.1", "v1.0"}


@dataclass(frozen=True)
class _Entry:
    names: tuple[str, ...]
    architecture: Architecture


@dataclass(frozen=True)
class _Name:
    """A model's name without organisation and usual words, and the quantization it mentions."""

    core: tuple[str, ...]
    words: frozenset[str]

    @property
    def scheme(self) -> str | None:
        if "gptq" in self.words and self.words & {"int8", "8bit"}:
            return "int8"
        if "bnb" in self.words and "8bit" in self.words:
            return "bnb-int8"
        return next((_SCHEMES[word] for word in sorted(self.words) if word in _SCHEMES), None)


def known_model(name: str) -> Architecture | None:
    """Find a model by its name on the hub, with or without organisation, in any case; else None.

    A suffix such as `-AWQ`, `-FP8` or `-GPTQ-Int4` sets the quantization that it names.
    """
    asked = _name(name)
    for entry in _entries():
        if any(_name(known).core == asked.core for known in entry.names):
            return _variant(entry.architecture, asked)
    return None


def need_known_model(name: str) -> Architecture:
    """Find a model by name; UnknownError names those near it."""
    if (found := known_model(name)) is not None:
        return found
    names = catalogue_names()
    short = {one.rpartition("/")[2].lower(): one for one in names}
    near = difflib.get_close_matches(name.rpartition("/")[2].lower(), short, n=3, cutoff=0.5)
    raise UnknownError(
        f"the model {name[:120]!r} is not in the catalogue; "
        + (f"near it are {', '.join(short[one] for one in near)}" if near else
           f"it has {', '.join(names)}")
    )  # fmt: skip


def catalogue_names() -> list[str]:
    """Return the first hub name of each model in the catalogue, sorted."""
    return sorted(entry.names[0] for entry in _entries())


@cache
def _entries() -> tuple[_Entry, ...]:
    folder = resources.files("headrace.models") / "known_models"
    files = sorted(folder.iterdir(), key=lambda file: file.name)
    return tuple(_entry(file.read_text("utf-8")) for file in files if file.name.endswith(".json"))


def _entry(text: str) -> _Entry:
    data = json.loads(text)
    return _Entry(tuple(data["names"]), read_architecture(data["config"]))


def _name(name: str) -> _Name:
    last = name.strip().rstrip("/").rpartition("/")[2].lower()
    words = _INNER.sub("-", last).split("-")
    extra = _SCHEMES.keys() | SCHEMES.keys() | _PLAIN | _BITS | _KINDS
    return _Name(tuple(word for word in words if word not in extra), frozenset(words))


def _variant(architecture: Architecture, asked: _Name) -> Architecture:
    if (scheme := asked.scheme) is not None:
        return replace(architecture, quantization=scheme)
    return replace(architecture, quantization=None) if asked.words & _PLAIN else architecture
