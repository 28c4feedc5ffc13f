"""The accelerators that Headrace knows, by any of their names, and examples of what they cost.

All figures are in `accelerators.json`, with their sources. What is not there is described in full
as an `Accelerator`; the CPU of this machine is measured (`measure_cpu.py`).
"""

from __future__ import annotations

import datetime as dt
import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

import msgspec

from headrace.hardware.accelerator import Accelerator


class UnknownAcceleratorError(LookupError):
    """No accelerator has this name, or several could be meant; the message has names that work."""


@dataclass(frozen=True)
class Price:
    """What one accelerator cost somewhere on a day: an example, because prices are the user's."""

    accelerator: str
    usd_per_hour: float
    seller: str
    date: dt.date
    source: str

    def __str__(self) -> str:
        """Say what it is an example of."""
        return f"${self.usd_per_hour:.2f}/h ({self.seller}, {self.date}, an example)"


@dataclass(frozen=True)
class _Catalogue:
    accelerators: tuple[Accelerator, ...]
    prices: tuple[Price, ...]


@cache
def _catalogue() -> _Catalogue:
    data = (resources.files(__package__) / "accelerators.json").read_bytes()
    return msgspec.json.decode(data, type=_Catalogue)


@cache
def _by_key() -> Mapping[str, Accelerator]:
    return {_key(name): one for one in accelerators() for name in (one.name, *one.names)}


def accelerators() -> tuple[Accelerator, ...]:
    """Return all that are known, in the catalogue's order."""
    return _catalogue().accelerators


def find_accelerator(name: str) -> Accelerator:
    """Return the accelerator of this name, however it is spelt: `H100`, `nvidia-l4`, `rtx 4090`.

    A name without a form factor means the SXM one, where there is one. UnknownAcceleratorError if
    none has the name, or if it does not say which of several.
    """
    known = _by_key()
    key = _key(name)
    if key in known:
        return known[key]
    fuller = {one.name for full, one in known.items() if key and full.startswith(key)}
    if len(fuller) > 1:
        raise UnknownAcceleratorError(f"'{name}' could be {_either(fuller)}; say which")
    near = difflib.get_close_matches(key, known, n=3, cutoff=0.6)
    names = fuller or {known[one].name for one in near} or {one.name for one in accelerators()}
    what = "did you mean" if fuller or near else "known are"
    raise UnknownAcceleratorError(f"no accelerator is known as '{name}'; {what} {_either(names)}")


def example_price(accelerator: Accelerator) -> Price | None:
    """Return what it cost somewhere, with date and source; None if no example is known."""
    found = (one for one in _catalogue().prices if one.accelerator == accelerator.name)
    return next(found, None)


def _key(name: str) -> str:
    """Reduce a name to what tells accelerators apart: `NVIDIA-L4` and `nvidia l4` are `l4`."""
    return re.sub(r"[^a-z0-9]", "", name.casefold()).removeprefix("nvidia")


def _either(names: Iterable[str]) -> str:
    *others, last = sorted(names)
    return f"{', '.join(others)} or {last}" if others else last
