"""The verdict: every rule is asked, what brings about what is sorted out, the rest is said plainly.

"Nothing wrong" and "not enough data" are answers: a false alarm costs more than silence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from headrace.diagnosis.causes import Part
from headrace.diagnosis.figures import ENOUGH, decode, mean, median, prefill, whole
from headrace.diagnosis.finding import Diagnosis, Finding, Judgement, brings
from headrace.diagnosis.observation import Observation, Request, Unseen
from headrace.diagnosis.rules.admission import gateway_queue, time_limit
from headrace.diagnosis.rules.generation import kv_pressure, overloaded_batch
from headrace.diagnosis.rules.leaving import draining, lost_replica
from headrace.diagnosis.rules.measurement import bad_metrics, unexplained
from headrace.diagnosis.rules.prefill import long_prefill
from headrace.diagnosis.rules.starting import cold_cache, cold_model
from headrace.diagnosis.rules.surroundings import noisy_neighbour, slow_client
from headrace.diagnosis.words import count, span
from headrace.traffic.quantile import quantile

Rule = Callable[[Observation], Finding | None]

RULES: tuple[Rule, ...] = (
    *(gateway_queue, time_limit, long_prefill, overloaded_batch, kv_pressure, noisy_neighbour),
    *(slow_client, cold_model, cold_cache, draining, lost_replica, bad_metrics),
)


def diagnose(seen: Observation) -> Diagnosis:
    """Return what is wrong with a deployment, if anything is and it can be told."""
    findings = ranked([finding for rule in RULES if (finding := rule(seen)) is not None])
    if all(finding.part == Part.MEASUREMENT for finding in findings):
        findings += [finding for finding in [unexplained(seen)] if finding is not None]
    judgement = _judgement(seen, findings)
    return Diagnosis(
        name=seen.name,
        judgement=judgement,
        verdict=_verdict(seen, findings, judgement),
        findings=tuple(findings),
        times=times(seen),
        requests=len(seen.requests),
        missing=(*_too_few(seen), *seen.unseen),
    )


def ranked(findings: Sequence[Finding]) -> list[Finding]:
    """Return them with the roots first, then what these bring about; in each, the weightiest."""

    def brought(one: Finding) -> bool:
        return any(brings(root, one) for root in findings)

    return sorted(findings, key=lambda one: (brought(one), -one.weight))


def times(seen: Observation) -> Mapping[str, float]:
    """Return where a whole answer's time went, on average; what nobody saw is left out."""
    figures: Mapping[str, Callable[[Request], float | None]] = {
        "held for a ready replica": lambda one: one.held,
        "queued for room": lambda one: one.queued,
        "queued in the engine": lambda one: one.engine_queue,
        "prefill": prefill,
        "decode": decode,
        "client not reading": lambda one: one.stalled,
    }
    done = whole(seen.requests)
    means = {name: mean(map(figure, done)) for name, figure in figures.items()}
    return {name: seconds for name, seconds in means.items() if seconds is not None}


def _judgement(seen: Observation, findings: Sequence[Finding]) -> Judgement:
    if findings:
        return Judgement.AT_FAULT
    return Judgement.NOT_ENOUGH_DATA if _too_few(seen) else Judgement.HEALTHY


def _too_few(seen: Observation) -> tuple[Unseen, ...]:
    done = len(whole(seen.requests))
    if done >= ENOUGH:
        return ()
    what = f"{count(done, 'whole answer')} in {span(seen.seconds)}; it takes {ENOUGH}"
    remedy = "look further back (--since 1h), or send some with `headrace bench`"
    return (Unseen(what=what, remedy=remedy),)


def _verdict(seen: Observation, findings: Sequence[Finding], judgement: Judgement) -> str:
    match judgement:
        case Judgement.AT_FAULT:
            first = findings[0]
            return f"{first.part} is at fault: {first.cause}"
        case Judgement.HEALTHY:
            return f"nothing is wrong: {_health(seen)}"
        case Judgement.NOT_ENOUGH_DATA:
            return f"not enough data: {_too_few(seen)[0].what}"


def _health(seen: Observation) -> str:
    done = whole(seen.requests)
    first, pace = [one.ttft for one in done], [one.tpot for one in done]
    said = [f"{count(len(done), 'whole answer')} in {span(seen.seconds)}"]
    for name, values in (("TTFT", first), ("TPOT", pace)):
        usual, worst = median(values), quantile(values, 0.95)
        if usual is not None and worst is not None:
            said.append(f"{name} p50 {span(usual)}, p95 {span(worst)}")
    return "; ".join(said)
