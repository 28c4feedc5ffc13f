"""Figures that cannot be trusted, and promises that are broken for no reason that was seen."""

from __future__ import annotations

from collections.abc import Iterator

from headrace.diagnosis.causes import Cause, Part
from headrace.diagnosis.figures import (
    ENOUGH,
    MANY,
    first_kept,
    grown,
    known,
    mostly,
    pace_kept,
    ready,
    whole,
)
from headrace.diagnosis.finding import Confidence, Finding, found
from headrace.diagnosis.observation import Observation, Outcome, Replica, Request
from headrace.diagnosis.words import count, percent


def bad_metrics(seen: Observation) -> Finding | None:
    """Find engines' pages that are not there, lack names, or contradict the gateway."""
    figures = [figure for one in ready(seen) for figure in _wrong(seen, one)]
    return found(Cause.BAD_METRICS, tuple(figures), 0.0, strong=True) if figures else None


def _wrong(seen: Observation, replica: Replica) -> Iterator[str]:
    looks, name = replica.looks, replica.name
    if mostly([bool(look.error) for look in looks]):
        yield f"{name}'s metrics page cannot be read: {looks[-1].error}"
        return
    if mostly([bool(look.absent) for look in looks]):
        absent = sorted({one for look in looks for one in look.absent})
        yield f"{name}'s metrics page has no {', '.join(absent)}"
    both = [look for look in looks if look.assigned and look.running is not None]
    if mostly([look.running == 0 for look in both]):
        yield f"{name} says that it runs nothing, at {len(both)} looks with requests there"
    told, made = grown(looks, "generated"), _made(seen, replica)
    if told == 0 and made:
        yield f"{name}'s count of generated tokens stands still while clients got {made}"


def _made(seen: Observation, replica: Replica) -> int:
    """Return the tokens of answers that began and ended there between the first and last look."""
    if not replica.looks:
        return 0
    since, until = replica.looks[0].at, replica.looks[-1].at
    during = (one for one in seen.requests if one.at >= since and one.ended <= until)
    return sum(one.output_tokens or 0 for one in during if one.replica == replica.name)


def unexplained(seen: Observation) -> Finding | None:
    """Find promises that are broken often; asked only when no other cause was found."""
    done = whole(seen.requests)
    late = [one for one in done if one.promised_ttft and one.ttft and not first_kept(one)]
    slow = [one for one in done if one.promised_tpot and one.tpot and not pace_kept(one)]
    failed = [one for one in seen.requests if one.outcome in (Outcome.FAILED, Outcome.TIMEOUT)]
    worst = max(late, slow, failed, key=len)
    if len(worst) < max(ENOUGH, MANY * len(seen.requests)):
        return None
    share = len(worst) / len(seen.requests)
    what = (
        "failed"
        if worst is failed
        else "broke a promise (" + ("TTFT" if worst is late else "TPOT") + ")"
    )
    figures = [f"{percent(share)} of {count(len(seen.requests), 'request')} {what}"]
    if kinds := ", ".join(sorted({one.error for one in failed if one.error})):
        figures.append(f"errors: {kinds}")
    part = _admission_or_generation(late) if worst is late else Part.GENERATION
    return Finding(
        cause=Cause.UNEXPLAINED,
        figures=tuple(figures),
        weight=share,
        confidence=Confidence.FAIR,
        part=part,
    )


def _admission_or_generation(late: list[Request]) -> Part:
    """Return where late first tokens spent more of their time."""
    before = sum(known(one.held for one in late)) + sum(known(one.queued for one in late))
    inside = sum(known(one.engine for one in late))
    return Part.ADMISSION if before > inside else Part.GENERATION
