"""Goodput: the requests that were answered within every promise of the SLO.

As vLLM's `bench serve` counts it (an answer of one token keeps any TPOT), but TTFT and end-to-end
are from when the request was due, and a failure has missed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from headrace.bench.answers import Answer, Failure


class Goodput(msgspec.Struct, frozen=True, kw_only=True):
    """`met` of `judged` requests kept all promises, `rate` of them a second.

    Not judged are those that the run's end stopped before they had missed anything. `share_sent`
    is the share if times counted from sending.
    """

    met: int
    judged: int
    share: float
    rate: float
    share_sent: float
    missed: dict[str, int]
    """By promise; a request may miss several. `failure` are those without a whole answer."""


def goodput(answers: Sequence[Answer], slo: Mapping[str, float], duration: float) -> Goodput | None:
    """Judge by `slo` (seconds of "ttft", "tpot", "e2e"); None where it promises nothing."""
    if not slo:
        return None
    misses = [_missed(one, slo, due=True) for one in answers]
    judged = [found for found in misses if found is not None]
    sent = [found for one in answers if (found := _missed(one, slo, due=False)) is not None]
    met = sum(not found for found in judged)
    return Goodput(
        met=met,
        judged=len(judged),
        share=_share(met, len(judged)),
        rate=met / duration if duration > 0 else 0.0,
        share_sent=_share(sum(not found for found in sent), len(sent)),
        missed={name: sum(name in found for found in judged) for name in (*sorted(slo), "failure")},
    )


def keeps(one: Answer, slo: Mapping[str, float]) -> bool:
    """Whether a request kept every promise, from when it was due."""
    return _missed(one, slo, due=True) == frozenset()


def _missed(one: Answer, slo: Mapping[str, float], *, due: bool) -> frozenset[str] | None:
    """Return the promises that were missed; None where nobody can know any more."""
    if one.failure is Failure.STOPPED:
        waited = one.ended - (one.due if due else one.sent)
        late = one.first is None and waited > slo.get("ttft", waited)
        return frozenset(("ttft",)) if late else None
    if one.failure is not None:
        return frozenset(("failure",))
    found = {
        "ttft": one.ttft_due if due else one.ttft,
        "tpot": one.tpot or 0.0,
        "e2e": one.e2e_due if due else one.e2e,
    }
    return frozenset(name for name, most in slo.items() if (found.get(name) or 0.0) > most)


def _share(some: int, of: int) -> float:
    return some / of if of else 0.0
