"""What each setting of a deployment rests on now: a result that holds, a stale one, or nothing.

A result holds for a setting if it was measured on this very fingerprint. If anything that decides
changed since (engine, weights, a flag, hardware), or a year went by, it is stale, and in what it
differs is said. Results of engine twins say nothing about engines, and the other way round.
Pure: `headrace.planning` knows the deployment, `explain` and `preflight` show what comes out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

import msgspec

from headrace.evidence.fingerprint import (
    Fingerprint,
    differences,
    flag_values,
    setting,
    written,
)
from headrace.evidence.result import Evidence, Support, Variant
from headrace.fleet.types import Scalar

Basis = Literal["evidence", "against", "stale", "plan", "nothing"]
"""`against`: a result that holds says that another value is better."""
OLD = 365
"""Days after which a result is stale whatever it was of: drivers, kernels and neighbours change."""
_SCOPE: Mapping[str, frozenset[str]] = {
    "quantization": frozenset(
        {"weights", "quantization", "engine", "engine.flags.kv-cache-dtype"},
    ),
}
"""Settings that fewer parts of the fingerprint decide: what answers are worth depends on weights
and engine, not on how many requests run at once."""


@dataclass(frozen=True)
class Standing:
    """What one setting rests on; `why` says in what a stale result differs, or what is wrong."""

    setting: str
    value: Scalar | None
    basis: Basis
    evidence: Evidence | None = None
    says: str = ""
    """The result's figure for this setting."""
    why: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Say it in a sentence without its end; a result's id begins with its day."""
        if self.evidence is None:
            return "the plan, not measured" if self.basis == "plan" else "not measured"
        says = f"{self.says} " if self.says else ""
        doubts = len(self.evidence.doubts)
        known = f", {doubts} doubt{'s' * (doubts > 1)}" if doubts else ""
        cited = f"{says}({self.evidence.id}{known})"
        if self.basis == "stale":
            return f"measured, but stale: {cited}: {'; '.join(self.why)}"
        return f"measured{', and it speaks against this' * (self.basis == 'against')}: {cited}"


class _Found(msgspec.Struct, frozen=True):
    """A result that speaks of a setting, and in what it differs from now."""

    evidence: Evidence
    support: Support
    why: tuple[str, ...]
    turned: bool = False
    """Whether it speaks of another value, and so of this one only in turn."""


def standings(
    now: Fingerprint,
    settings: Mapping[str, Scalar | None],
    known: Sequence[Evidence],
    *,
    deployment: str,
    today: date,
    planned: Iterable[str] = (),
) -> tuple[Standing, ...]:
    """Return what each of `settings` (by name, with its value now) rests on, in their order.

    `planned` are those that the plan chose. A result of another deployment counts only if it
    holds: its differences would be no news.
    """
    chosen = frozenset(planned)
    found = (
        (name, value, [one for one in _found(now, name, value, known) if _ours(one, deployment)])
        for name, value in settings.items()
    )
    return tuple(
        _standing(name, value, [_aged(one, today) for one in ours], chosen)
        for name, value, ours in found
    )


def why_stale(evidence: Evidence, now: Fingerprint, today: date) -> tuple[str, ...]:
    """Return why a result as a whole does not hold now, by its nearest variant; nothing: it does.

    ValueError if it has no variant.
    """
    least = min((differences(one.fingerprint, now) for one in evidence.variants), key=len)
    return (*least, *_worn(evidence, today))


def _standing(
    name: str, value: Scalar | None, found: Sequence[_Found], planned: frozenset[str]
) -> Standing:
    """Take the newest that holds, else the one that differs least, the newest of these.

    What speaks of the value itself goes before what speaks of another.
    """
    if not found:
        return Standing(name, value, "plan" if name in planned else "nothing")
    newest = sorted(found, key=lambda one: one.evidence.taken, reverse=True)
    best = min(newest, key=lambda one: (len(one.why), one.turned))
    basis: Basis = "stale" if best.why else "evidence" if best.support.holds else "against"
    return Standing(name, value, basis, best.evidence, best.support.says, best.why)


def _found(
    now: Fingerprint, name: str, value: Scalar | None, known: Iterable[Evidence]
) -> Iterator[_Found]:
    for evidence in known:
        for support in evidence.supports:
            if support.setting == name and (found := _spoken(now, value, evidence, support)):
                yield found


def _ours(one: _Found, deployment: str) -> bool:
    return not one.why or one.evidence.deployment == deployment


def _spoken(
    now: Fingerprint, value: Scalar | None, evidence: Evidence, support: Support
) -> _Found | None:
    """Return what a support says of the value now, None if it is of another world.

    Where the value now was measured too, what speaks for another speaks against it, and the other
    way round. Who took the value that a result recommends is not told that it differs.
    """
    same_world = [one for one in evidence.variants if one.fingerprint.emulated == now.emulated]
    named = [one for one in same_world if support.variant in (None, one.name)]
    if not named:
        return None
    least = _least(now, support.setting, named)
    told_apart = support.setting in _SCOPE and (support.variant or len(same_world) == 1)
    own = f"{support.setting} "
    if _same(value, support.value) or (told_apart and not least):
        return _Found(evidence, support, tuple(one for one in least if not one.startswith(own)))
    decides = support.setting in now.flags or support.setting in setting(now)
    if decides and not _least(now, support.setting, same_world):
        turned = msgspec.structs.replace(support, holds=not support.holds)
        return _Found(evidence, turned, (), turned=True)
    change = f"{own}{_word(support, support.value)} -> {_word(support, value)}"
    told = any(part.startswith(own) for part in least)
    return _Found(evidence, support, least if told else (change, *least))


def _least(now: Fingerprint, name: str, variants: Iterable[Variant]) -> tuple[str, ...]:
    """Return in what the variant that is nearest to now differs from it."""
    return min((_parts(name, one.fingerprint, now) for one in variants), key=len)


def _word(support: Support, value: Scalar | None) -> str:
    return "unset" if value is None else written(support.setting, value)


def _parts(name: str, old: Fingerprint, now: Fingerprint) -> tuple[str, ...]:
    scope = _SCOPE.get(name)
    differ = differences(old, now)
    return tuple(one for one in differ if scope is None or one.partition(" ")[0] in scope)


def _same(value: Scalar | None, other: Scalar | None) -> bool:
    return flag_values({"": value}) == flag_values({"": other})


def _aged(one: _Found, today: date) -> _Found:
    return msgspec.structs.replace(one, why=(*one.why, *_worn(one.evidence, today)))


def _worn(evidence: Evidence, today: date) -> tuple[str, ...]:
    """Return what speaks against relying on a result anywhere: its age, that it is not valid."""
    age = (today - evidence.taken.date()).days
    old = (f"it is {age // 30} months old",) if age > OLD else ()
    invalid = () if evidence.valid else (f"it is not valid: {_first_doubt(evidence)}",)
    return (*old, *invalid)


def _first_doubt(evidence: Evidence) -> str:
    """Return the first of its doubts."""
    return evidence.doubts[0] if evidence.doubts else "it does not say why"
