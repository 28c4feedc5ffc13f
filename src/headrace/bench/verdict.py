"""What a run says, in sentences: under what load, whether the promise was kept, who is at fault.

`page.py` prints them, `report.py` puts them over its plots. Which of admission, generation and life
cycle is at fault is `headrace.diagnosis`'s to say.
"""

from __future__ import annotations

import math
from dataclasses import replace

import msgspec

from headrace.bench import alone
from headrace.bench.asked import arrivals_of, is_closed, load_of, order_of
from headrace.bench.run import Run
from headrace.bench.summary import Summary
from headrace.bench.symptoms import observe
from headrace.bench.words import percent, rate, seconds
from headrace.diagnosis.causes import Cause
from headrace.diagnosis.diagnose import diagnose
from headrace.diagnosis.finding import Diagnosis, Judgement
from headrace.diagnosis.words import count
from headrace.traffic.arrivals import Arrivals, Constant, Gamma, Poisson, Ramp, Replay, Steps

KEPT = 0.95
"""Share of requests that must keep a promise: it is made for the 95th percentile."""
_MISHAPS = ("lost", "trouble")
PROMISES = {"ttft": "TTFT", "tpot": "TPOT", "e2e": "end to end"}


def headline(run: Run, summary: Summary) -> str:
    """Say what was measured: `chat: 600 requests in 2.0 min, 5 a second as Poisson arrivals`."""
    name = run.about.name or run.about.model
    many = count(summary.counts.asked, "request")
    return f"{name}: {many} in {lasted(summary.duration)}, {load_words(run)}"


def lasted(duration: float) -> str:
    """Write how long a run was: `47.2 s`, `12.5 min`."""
    long = 120
    return f"{duration / 60:.3g} min" if duration >= long else seconds(duration)


def load_words(run: Run) -> str:
    """Say how it was sent."""
    if is_closed(run.about):
        return f"{count(load_of(run.about).concurrency or 0, 'client')} in a closed loop"
    arrivals = arrivals_of(run.about)
    said = "in an open loop" if arrivals is None else _arrivals(arrivals)
    sessions = order_of(run.about).sessions
    return f"{said}, {sessions.turns} turns each" if sessions else said


def _arrivals(arrivals: Arrivals) -> str:
    match arrivals:
        case Constant(each):
            return f"{rate(each)} a second, evenly"
        case Poisson(each):
            return f"{rate(each)} a second as Poisson arrivals"
        case Gamma(each, burstiness):
            return f"{rate(each)} a second in bursts (gamma {burstiness:g})"
        case Ramp(start, end, over):
            return f"from {start:g} to {end:g} a second over {lasted(over)}"
        case Steps(steps):
            return "in steps of " + ", ".join(f"{one.rate:g}" for one in steps) + " a second"
        case Replay(scale):
            return "replayed from a trace" + (
                f" at {scale:g} times its times" if scale != 1 else ""
            )


def outcome(run: Run, summary: Summary) -> str:
    """Say whether the promise was kept, or how fast it was where none was made."""
    answered, tokens = rate(summary.requests), rate(summary.output_tokens)
    at = f"{answered} requests and {tokens} output tokens a second"
    good = summary.goodput
    if good is None:
        ttft, tpot = summary.latencies.ttft_due, summary.latencies.tpot
        return (
            f"No promise was given. At {at}: TTFT p50 {seconds(ttft.p50)}, p95 {seconds(ttft.p95)};"
            f" TPOT p50 {seconds(tpot.p50)}, p95 {seconds(tpot.p95)}."
        )
    if not good.judged:
        return f"Nothing tells whether {promise(run)} was kept: no request was counted."
    if good.share >= KEPT:
        return f"The promise was kept: {down(good.share)} of requests had {promise(run)}, at {at}."
    return (
        f"The promise was broken: {down(good.share)} of requests had {promise(run)} where"
        f" {percent(KEPT)} should, at {at}. {_missed(good.missed, good.judged)}"
    )


def promise(run: Run) -> str:
    """Write the SLO: `TTFT within 1 s and TPOT within 50 ms`."""
    slo = run.about.slo
    said = [f"{PROMISES.get(name, name)} within {seconds(bound)}" for name, bound in slo.items()]
    return " and ".join(said)


def down(share: float) -> str:
    """Write a share kept, never rounded up: 99.97 % does not read as all of them."""
    return f"{math.floor(share * 1000 + 1e-6) / 10:g} %"


def _missed(missed: dict[str, int], judged: int) -> str:
    """Say what was missed, the most first."""
    names = {**PROMISES, "failure": "no whole answer"}
    ordered = sorted(missed.items(), key=lambda item: -item[1])
    said = [f"{names.get(name, name)} {percent(many / judged)}" for name, many in ordered if many]
    return f"Missed: {', '.join(said)}."


def fault(run: Run, summary: Summary) -> Diagnosis:
    """Say which of admission, generation and life cycle is at fault, and where the time went.

    Nothing that is said to be at fault makes a run worthless, nor the other way round. A promise
    that one request alone breaks needs no other cause.
    """
    found = diagnose(observe(run))
    said = _unkept(run, summary)
    if said is None:
        return found
    findings = tuple(one for one in found.findings if one.cause is not Cause.UNEXPLAINED)
    verdict_ = f"{said}. {found.verdict[:1].upper()}{found.verdict[1:]}" if findings else said
    return replace(found, judgement=Judgement.AT_FAULT, verdict=verdict_, findings=findings)


def _unkept(run: Run, summary: Summary) -> str | None:
    """Say that a promise is kept at no load, or by no answer; None where some keep it."""
    good = summary.goodput
    if good is None or good.share >= KEPT:
        return None
    if found := alone.beyond(run):
        return (
            f"no load keeps this promise: one request alone takes {_against(run, found)}; promise"
            " what one request alone keeps, or make that faster"
        )
    if found := alone.never(run):
        return (
            f"no answer kept this promise: the fastest took {_against(run, found)}; measure one"
            " request alone (-c 1)"
        )
    return None


def _against(run: Run, found: dict[str, float]) -> str:
    """Write times beside their promises: `104 ms where TTFT within 50 ms is promised`."""
    return " and ".join(
        f"{seconds(value)} where {PROMISES.get(name, name)} within {seconds(run.about.slo[name])}"
        " is promised"
        for name, value in found.items()
    )


def verdict(found: Diagnosis, run: Run, summary: Summary) -> str:
    """Write a diagnosis' verdict as a sentence; where it found nothing, where misses waited."""
    said = f"{found.verdict[:1].upper()}{found.verdict[1:].rstrip('.')}."
    good = summary.goodput
    broken = bool(summary.counts.failures) or (good is not None and good.share < KEPT)
    if found.judgement is not Judgement.HEALTHY:
        return said
    if not broken:
        return f"{said.partition(':')[0]}."  # its percentiles are by rank, those below interpolated
    said = f"None of the three was at fault for most requests. {_failed(summary)}"
    return f"{said}{_where_missed(run)}".rstrip()


def _failed(summary: Summary) -> str:
    """Say how many failed and how: then the fault may be where no part of the server is seen."""
    failures = summary.counts.failures
    if not failures:
        return ""
    kinds = ", ".join(f"{kind} {many:,}" for kind, many in failures.items())
    return f"{sum(failures.values()):,} of {summary.counts.asked:,} failed ({kinds}). "


def _where_missed(run: Run) -> str:
    """Say where whole answers whose first token was late had waited, if the gateway tells."""
    bound = run.about.slo.get("ttft")
    late = [
        one
        for one in run.counted
        if bound and one.failure is None and one.queued is not None and (one.ttft_due or 0) > bound
    ]
    if not late:
        return ""
    held, queued, first = (
        sum(values) / len(late)
        for values in zip(
            *((one.held or 0.0, one.queued or 0.0, one.ttft_due or 0.0) for one in late),
            strict=True,
        )
    )
    parts = {"life cycle": held, "admission": queued, "generation": first - held - queued}
    return (
        f"The {count(len(late), 'answer')} with a late first token were held {seconds(held)} for a"
        f" ready replica, queued {seconds(queued)} for room, and {seconds(parts['generation'])} on"
        f" the way and in the engine, in the mean: {max(parts, key=lambda name: parts[name])}."
    )


def times(found: Diagnosis) -> dict[str, float]:
    """Return where a mean answer's time went, without what is less than a hundredth of it."""
    least = 0.01 * sum(found.times.values())
    return {name: value for name, value in found.times.items() if value > least}


def settings(run: Run) -> dict[str, str]:
    """Return everything a reader needs to repeat the run, flat, empty parts left out."""
    about = msgspec.to_builtins(run.about)
    return dict(_flat("", {name: value for name, value in about.items() if name not in _MISHAPS}))


def _flat(name: str, value: object) -> list[tuple[str, str]]:
    if isinstance(value, dict):
        return [
            pair
            for key, inner in value.items()
            for pair in _flat(f"{name}.{key}" if name else str(key), inner)
        ]
    if value in (None, "", [], ()):
        return []
    written = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return [(name, written)]
