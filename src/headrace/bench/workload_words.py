"""A workload's parts as people write them: `--shape 2*chat=64-400:32`, `--prefix 512:80%`."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from headrace.bench.workload_order import HotPrefix, Length, Sessions, Shape
from headrace.fleet.units import parse_duration
from headrace.traffic.errors import TrafficError
from headrace.traffic.values import MOST_TOKENS

SHAPE = "[WEIGHT*][NAME=]PROMPT:ANSWER in tokens, each N or P50-P99, such as 2*chat=64-400:32"
PREFIX = "TOKENS[:SHARE[:HOW MANY]], such as 512, 512:80% or 512:80%:4"
SESSIONS = "TURNS[:PAUSE], such as 4 or 4:2s"
PRESETS = {
    "short/short": Shape("short/short", Length(64, 64), Length(32, 32)),
    "short/long": Shape("short/long", Length(64, 64), Length(256, 256)),
    "long/moderate": Shape("long/moderate", Length(1024, 1024), Length(96, 96)),
}
"""Prompt and answer; for a model with 2,048 tokens of context and more."""
MIXED = "mixed"
"""All presets in equal parts."""
_NAME = re.compile(r"[\w./-]{1,40}", re.ASCII)
_MOST_COPIES = 10_000
_MOST_TURNS = 1000


def parse_shapes(words: Sequence[str]) -> tuple[Shape, ...]:
    """Return the shapes that words ask for; TrafficError says which is wrong, and why."""
    shapes = [shape for word in words for shape in parse_shape(word)]
    names = [shape.name for shape in shapes]
    for name in names:
        if names.count(name) > 1:
            raise TrafficError(f"two shapes are called {name}: give one another name, as b={name}")
    return tuple(shapes)


def parse_shape(text: str) -> tuple[Shape, ...]:
    """Return one shape, or those of `mixed`."""
    weight, rest = _weight(text)
    if rest == MIXED:
        return tuple(_weighed(one, weight / len(PRESETS)) for one in PRESETS.values())
    if rest in PRESETS:
        return (_weighed(PRESETS[rest], weight),)
    name, given, lengths = rest.rpartition("=")
    try:
        prompt, output = _lengths(lengths)
    except ValueError as error:
        known = ", ".join((*PRESETS, MIXED))
        raise TrafficError(f"shape {text}: {error}; expected {SHAPE}, or {known}") from None
    if given and not _NAME.fullmatch(name):
        raise TrafficError(f"shape {text}: {name!r} is no name: letters, digits and ._/- are")
    return (Shape(name or lengths, prompt, output, weight),)


def parse_length(text: str) -> Length:
    """Return tokens written as N or P50-P99; ValueError says what is wrong."""
    if not re.fullmatch(r"\d{1,9}(-\d{1,9})?", text, re.ASCII):
        raise ValueError(f"{text!r} is no number of tokens")
    p50, _, p99 = text.partition("-")
    found = Length(int(p50), int(p99 or p50))
    if not 1 <= found.p50 <= found.p99 <= MOST_TOKENS:
        raise ValueError(f"{text}: lengths begin at 1 token, and p99 is not below p50")
    return found


def parse_prefix(text: str) -> HotPrefix:
    """Return a shared beginning; TrafficError says what is wrong."""
    found = re.fullmatch(r"(\d{1,9})(?::([\d.]+%?))?(?::(\d{1,9}))?", text, re.ASCII)
    if not found:
        raise TrafficError(f"prefix {text}: expected {PREFIX}")
    tokens, copies = int(found[1]), int(found[3] or 1)
    share = _share(found[2] or "1")
    if not (tokens and 0 < share <= 1 and 1 <= copies <= _MOST_COPIES):
        raise TrafficError(
            f"prefix {text}: tokens begin at 1, a share is above 0 and at most 1 (or 100%), and"
            f" there are 1 to {_MOST_COPIES:,} texts; expected {PREFIX}"
        )
    return HotPrefix(tokens, share, copies)


def parse_sessions(text: str) -> Sessions:
    """Return how sessions go; TrafficError says what is wrong."""
    turns, given, pause = text.partition(":")
    try:
        number = int(turns) if re.fullmatch(r"\d{1,4}", turns, re.ASCII) else 0
        think = parse_duration(pause) if given else 0.0
    except ValueError as error:
        raise TrafficError(f"sessions {text}: {error}; expected {SESSIONS}") from None
    if not 1 <= number <= _MOST_TURNS:
        raise TrafficError(
            f"sessions {text}: a session has 1 to {_MOST_TURNS:,} turns; expected {SESSIONS}"
        )
    return Sessions(number, think)


def _weighed(shape: Shape, weight: float) -> Shape:
    return Shape(shape.name, shape.prompt, shape.output, weight)


def _weight(text: str) -> tuple[float, str]:
    before, given, rest = text.strip().partition("*")
    if not given:
        return 1.0, before
    try:
        weight = float(before)
    except ValueError:
        weight = math.nan
    if not 0 < weight < math.inf:
        raise TrafficError(f"shape {text}: the weight {before!r} is no number above 0")
    return weight, rest


def _lengths(text: str) -> tuple[Length, Length]:
    prompt, given, output = text.partition(":")
    if not given:
        raise ValueError(f"{text!r} has no ':' between prompt and answer")
    return parse_length(prompt), parse_length(output)


def _share(text: str) -> float:
    try:
        return float(text.rstrip("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        return math.nan
