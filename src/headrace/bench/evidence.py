"""A finished run as evidence: its figures with what chance does to them, and what it was of.

The run's folder stays where it is and out of git; `headrace evidence keep` writes this beside the
fleet file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

import msgspec

from headrace.bench.doubt import Doubt, Severity
from headrace.bench.run import About, Run
from headrace.bench.spread import known
from headrace.bench.summary import Summary
from headrace.bench.validity import worst
from headrace.capacity.words import span
from headrace.evidence.deployment import endpoint_fingerprint
from headrace.evidence.difference import interval, percentile
from headrace.evidence.fingerprint import Fingerprint, flag_values
from headrace.evidence.result import Evidence, Figure, Support, Variant, made

AS_IT_IS = "as it is"
_MEANS_NOTHING = ("count", "duration", "seed", "context")
"""Of a workload: how long it was sent, which of many alike requests they were, and the limit on
their length, which is the setting's."""
_OF_THE_LOAD = ("concurrency", "most_in_flight", "exact_length", "temperature")
"""What else decides which requests an endpoint has at once, and how long its answers are."""


def evidence(
    run: Run, summary: Summary, doubts: Sequence[Doubt], deployment: str, settings: Sequence[str]
) -> Evidence:
    """Return a run as a result of a deployment that supports these settings as they were.

    Only doubts that take something away are kept. ValueError if the run has no whole answer, does
    not say when it was, or its setting is damaged.
    """
    if not summary.counts.whole:
        raise ValueError("it has no whole answer, so no figures")
    setting = fingerprint(run.about)
    said = conclusion(summary)
    values = {**setting.flags, "quantization": setting.quantization}
    supports = (
        Support(setting=one, value=values.get(one), variant=AS_IT_IS, says=said) for one in settings
    )
    one = Variant(
        name=AS_IT_IS, fingerprint=setting, figures=figures(run, summary), run=run.about.name
    )
    return made(
        experiment="bench",
        deployment=deployment,
        variants=(one,),
        conclusion=(said,),
        doubts=tuple(str(doubt) for doubt in doubts if doubt.severity is not Severity.NOTE),
        valid=worst(doubts) is not Severity.WORTHLESS,
        supports=tuple(supports),
        taken=_began(run.about),
    )


def _began(about: About) -> datetime:
    try:
        return datetime.fromisoformat(about.began)
    except ValueError:
        raise ValueError("it does not say when it began") from None


def fingerprint(about: About) -> Fingerprint:
    """Return what a run was of: the setting that it noted, and its load and workload."""
    asked = {name: value for name, value in about.workload.items() if name not in _MEANS_NOTHING}
    asked |= {name: about.load[name] for name in _OF_THE_LOAD if name in about.load}
    if not about.setting:
        return endpoint_fingerprint(about.model, asked)
    try:
        noted = msgspec.convert(about.setting, Fingerprint)
    except msgspec.ValidationError as error:
        raise ValueError(f"the run's setting is damaged: {error}") from error
    return msgspec.structs.replace(noted, workload=flag_values(asked))


def figures(run: Run, summary: Summary) -> dict[str, Figure]:
    """Return a run's figures by the names that experiments have for them; times from being due."""
    whole = [one for one in run.by_due if one.failure is None]
    ttft, tpot = known(one.ttft_due for one in whole), known(one.tpot for one in whole)
    count = len(whole)
    made_ = {
        "requests": Figure(value=summary.requests, unit="requests/s", n=count),
        "output tokens": Figure(value=summary.output_tokens, unit="tokens/s", n=count),
        "failed share": Figure(value=summary.counts.failed_share, unit="share"),
        "in flight": Figure(value=summary.flight.mean, unit="requests"),
    }
    for name, values in (("ttft", ttft), ("tpot", tpot)):
        made_ |= dict(_percentiles(name, values.tolist()))
    if count:
        made_["prompt mean"] = Figure(value=summary.tokens.prompt / count, unit="tokens")
        made_["output mean"] = Figure(value=summary.tokens.output / count, unit="tokens")
    return made_


def conclusion(summary: Summary) -> str:
    """Say what the run met, in a sentence."""
    ttft, tpot = summary.latencies.ttft_due, summary.latencies.tpot
    times = [
        f"{name} p50 {span(one.p50)}, p95 {span(one.p95)}"
        for name, one in (("TTFT", ttft), ("TPOT", tpot))
        if one.p50 is not None and one.p95 is not None
    ]
    ended = f"{summary.counts.whole} whole answers, {summary.counts.failed} failed"
    return "; ".join((f"{summary.requests:.3g} requests/s", *times, ended))


def _percentiles(name: str, values: Sequence[float]) -> Iterator[tuple[str, Figure]]:
    for share in (50, 95) if values else ():
        figure = percentile(share)
        low, high = interval(values, figure) or (None, None)
        value = float(figure(known(values)))
        yield f"{name} p{share}", Figure(value=value, unit="s", n=len(values), low=low, high=high)
