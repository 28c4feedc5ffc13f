"""A result as people read it: figures with units, what it is of, what it justifies."""

from __future__ import annotations

from collections.abc import Iterator

from headrace.capacity.words import span
from headrace.evidence.fingerprint import Fingerprint, asked, setting, written
from headrace.evidence.result import Evidence, Figure, Support
from headrace.fleet.units import format_size


def figure(one: Figure, *, bounds: bool = True) -> str:
    """Write a figure: `210 ms (204 ms to 219 ms, n 30)`; without `bounds` its value only."""
    value = amount(one.value, one.unit)
    said = []
    if one.low is not None and one.high is not None:
        said.append(f"{amount(one.low, one.unit)} to {amount(one.high, one.unit)}")
    if one.n is not None:
        said.append(f"n {one.n:,}")
    return f"{value} ({', '.join(said)})" if bounds and said else value


def amount(value: float, unit: str) -> str:
    """Write a number in its unit as people do: seconds in ms below 1, bytes in binary units."""
    if unit == "s":
        return span(value)
    if unit == "bytes":
        return format_size(value)
    if unit == "share":
        return f"{value:.1%}"
    return f"{value:,.4g} {unit}".rstrip()


def lines(one: Evidence) -> Iterator[str]:
    """Yield all of a result."""
    yield one.id
    yield f"{one.experiment} of {one.deployment}, taken {one.taken:%Y-%m-%d %H:%M} UTC"
    yield from (f"  {sentence}" for sentence in one.conclusion)
    yield from () if one.valid else ("  not valid: nothing rests on it",)
    yield from (f"  doubt: {doubt}" for doubt in one.doubts)
    if one.supports:
        yield from ("", "supports")
        yield from (f"  {supported(support)}" for support in one.supports)
    if one.figures:
        yield from ("", "figures")
        yield from (f"  {name}: {figure(found)}" for name, found in one.figures.items())
    for variant in one.variants:
        yield from ("", f"{variant.name}{f', run {variant.run}' if variant.run else ''}")
        yield from (f"  {name}: {figure(found)}" for name, found in variant.figures.items())
        yield from (f"  {line}" for line in fingerprint(variant.fingerprint))


def supported(one: Support) -> str:
    """Write what a result says of a setting."""
    value = "unset" if one.value is None else written(one.setting, one.value)
    against = "" if one.holds else ", against it"
    return f"{one.setting} {value}{against}{f': {one.says}' if one.says else ''}"


def fingerprint(one: Fingerprint) -> Iterator[str]:
    """Yield what decided: setting and workload, each in a line, and what nobody knows."""
    parts = ", ".join(f"{name} {value}" for name, value in setting(one).items())
    yield f"on {one.model}: {parts} (setting {one.key})"
    if one.workload:
        load = ", ".join(f"{name} {value}" for name, value in asked(one).items())
        yield f"asked {load} (workload {one.workload_key})"
    if one.unknown:
        yield f"unknown: {', '.join(one.unknown)}"
