"""What a diagnosis looks at, read from a finished run: its answers, and the samples beside them.

`headrace.local.observing` does the same for a fleet that is up, and reads samples as here.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Collection, Iterable, Mapping, Sequence

from headrace.bench.answers import Answer, Failure
from headrace.bench.own import added, ratio, summed
from headrace.bench.reply_judge import ABORTED
from headrace.bench.run import Run
from headrace.bench.samples import Sample
from headrace.diagnosis.observation import (
    Look,
    Observation,
    Outcome,
    Replica,
    Request,
    Unseen,
    Waiting,
)
from headrace.diagnosis.rules.admission import QUEUE_ENDS

GATEWAY = "gateway"
_ENGINE = "engine:"
_CLIENT = "client"
_BOUND = "headrace_replica_running"
_LABEL = re.compile(r'(\w+)="([^"]*)"')
_BUSY, _GATEWAY_TIMEOUT = (429, 503), (408, 504, 524)
_BROKEN = 500
"""From this HTTP status on, something behind the address failed."""
_ALWAYS = ("running", "waiting")
"""What every engine's page has, whatever its version."""
_SAME_REQUESTS = 0.1
"""Share by which the gateway's count may differ from the client's for both to be of one load."""
_OUTCOMES: Mapping[Failure | None, Outcome] = {
    None: Outcome.OK,
    Failure.UNREACHABLE: Outcome.REFUSED,
    Failure.REFUSED: Outcome.REFUSED,
}


def observe(run: Run) -> Observation:
    """Return what the run saw; an empty one gives an observation that says nothing."""
    slo = run.about.slo
    answers = [one for one in run.counted if one.failure != Failure.STOPPED]
    gateway = [one for one in run.samples if one.source == GATEWAY and not one.error]
    client, behind = _two_clocks(answers, gateway)
    return Observation(
        name=run.about.name or run.about.model,
        seconds=run.about.seconds or max((one.ended for one in answers), default=0.0),
        requests=tuple(_request(one, slo) for one in answers),
        replicas=tuple(_replicas(run.samples, answers, gateway)),
        waiting=tuple(map(waiting, gateway)),
        client_mean=client,
        gateway_mean=behind,
        sender=max((one.values.get("cpu", 0.0) for one in _of(run.samples, _CLIENT)), default=None),
        unseen=tuple(_unseen(run)),
    )


def _request(one: Answer, slo: Mapping[str, float]) -> Request:
    return Request(
        at=one.sent,
        duration=max(0.0, one.e2e),
        outcome=_outcome(one),
        replica=one.replica,
        held=one.held,
        queued=one.queued,
        engine=_engine(one),
        ttft=one.ttft,
        tpot=one.tpot,
        longest_gap=max(one.gaps, default=None),
        prompt_tokens=one.prompt_tokens,
        cached_tokens=one.cached_tokens,
        output_tokens=one.output_tokens,
        sent_away=one.finish in ABORTED,
        error=_error(one),
        promised_ttft=slo.get("ttft"),
        promised_tpot=slo.get("tpot"),
    )


def _outcome(one: Answer) -> Outcome:
    if one.status in _GATEWAY_TIMEOUT:
        return Outcome.TIMEOUT
    if one.status is not None and one.status >= _BROKEN and one.status not in _BUSY:
        return Outcome.FAILED
    return _OUTCOMES.get(one.failure, Outcome.FAILED)


def _engine(one: Answer) -> float | None:
    """Seconds that the first token took but for the gateway's waits."""
    if one.ttft is None:
        return None
    return max(0.0, one.ttft - (one.held or 0.0) - (one.queued or 0.0))


def _error(one: Answer) -> str:
    """Return the gateway's own word for it where it is one, else what the client saw."""
    if one.failure is None:
        return ""
    queue_end = next((kind for kind in QUEUE_ENDS if kind in one.detail), "")
    busy = "queue_full" if one.status in _BUSY else ""
    return queue_end or busy or f"{one.failure}: {one.detail}"


def _replicas(
    samples: Sequence[Sample], answers: Sequence[Answer], gateway: Sequence[Sample]
) -> Iterable[Replica]:
    sources = {one.source.removeprefix(_ENGINE) for one in _of(samples, _ENGINE)}
    names = sources | {one.replica for one in answers if one.replica}
    deployments = _deployments(gateway)
    for name in sorted(names):
        mine = [one for one in samples if one.source == f"{_ENGINE}{name}"]
        looks = tuple(look(one, assigned(gateway, one, name)) for one in mine)
        yield Replica(name=name, deployment=deployments.get(name), looks=looks)


def _deployments(gateway: Sequence[Sample]) -> dict[str, str]:
    """Return the deployment of each replica that the gateway's pages name."""
    series = {name for one in gateway for name in one.values if name.startswith(_BOUND)}
    labels = [dict(_LABEL.findall(name)) for name in series]
    return {
        one["replica"]: one["deployment"]
        for one in labels
        if {"replica", "deployment"} <= one.keys()
    }


def look(sample: Sample, assigned: int | None, expected: Collection[str] = _ALWAYS) -> Look:
    """Return a look at an engine's page, which should have the `expected` names."""
    if sample.error:
        return Look(at=sample.at, assigned=assigned, error=sample.error)
    has, value = {name.removesuffix("_sum") for name in sample.values}, sample.values.get
    return Look(
        at=sample.at,
        running=value("running"),
        waiting=value("waiting"),
        kv_usage=value("kv_usage"),
        preemptions=value("preemptions"),
        prefix_hits=value("prefix_hits"),
        prefix_queries=value("prefix_queries"),
        generated=value("generation_tokens"),
        assigned=assigned,
        absent=tuple(name for name in expected if name not in has),
    )


def waiting(gateway: Sample, label: str = "") -> Waiting:
    """Return what waits by a gateway's page; `label` as on it, to count one deployment only."""
    held, queued, running = (
        summed(gateway, f"headrace_{name}", label) for name in ("held", "queued", "running")
    )
    return Waiting(
        at=gateway.at,
        held=_whole(held),
        queued=_whole(queued),
        running=_whole(running),
        stalled=_whole(summed(gateway, "headrace_stalled", label)),
    )


def assigned(gateway: Sequence[Sample], engine: Sample, name: str) -> int | None:
    """Return what the gateway had there at its look nearest in time; its looks in their order."""
    if not gateway:
        return None
    after = bisect_left(gateway, engine.at, key=lambda one: one.at)
    around = gateway[max(after - 1, 0) : after + 1]
    nearest = min(around, key=lambda one: abs(one.at - engine.at))
    return _whole(summed(nearest, _BOUND, f'replica="{name}"'))


def _two_clocks(
    answers: Sequence[Answer], gateway: Sequence[Sample]
) -> tuple[float | None, float | None]:
    """Return the mean seconds of a request by the client and by the gateway, if both saw all."""
    many, total = (
        added(summed(one, f"headrace_request_seconds_{part}") for one in gateway)
        for part in ("count", "sum")
    )
    if not many or abs(many - len(answers)) > _SAME_REQUESTS * len(answers):
        return None, None
    return sum(one.e2e for one in answers) / len(answers), ratio(total, many)


def _unseen(run: Run) -> Iterable[Unseen]:
    sources = {one.source for one in run.samples}
    if GATEWAY not in sources:
        yield Unseen(
            what="the gateway's queue",
            remedy="let the bench read its metrics page, or diagnose the fleet itself",
        )
    if not any(source.startswith(_ENGINE) for source in sources):
        yield Unseen(
            what="the engines' queues, batches and KV caches",
            remedy="let the bench read the engines' metrics pages",
        )
    yield Unseen(
        what="the machine (who uses its CPU), and the lives of replicas",
        remedy="`headrace diagnose FLEET` while it is under load",
    )


def _of(samples: Sequence[Sample], prefix: str) -> list[Sample]:
    return [one for one in samples if one.source.startswith(prefix)]


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)
