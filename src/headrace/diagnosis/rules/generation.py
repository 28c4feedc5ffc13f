"""Faults of the batch: too many at once, no room in the KV cache."""

from __future__ import annotations

import math
from collections.abc import Sequence

from headrace.diagnosis.causes import Cause
from headrace.diagnosis.figures import (
    ENOUGH,
    MANY,
    SLOWER,
    best_pace,
    decode,
    grown,
    hurts,
    known,
    lost,
    mean,
    median,
    mostly,
    pace_kept,
    served,
    whole,
)
from headrace.diagnosis.finding import Finding, found
from headrace.diagnosis.observation import Look, Observation, Replica, Request
from headrace.diagnosis.words import count, number, percent, span
from headrace.traffic.quantile import quantile

_HALF_SPEED = 2
"""Times the best pace: a batch costs some speed always; half of it is what it has shown it can."""
_GROWN = 4
"""Times the batch of the best pace: beyond it, it is the first suspect of a slower one."""
_FULL = 0.9
"""Share of max_num_seqs, or of the KV cache (a last block is always unused), that is full."""
_PREEMPTED = 0.05
"""Preemptions for each request: one in twenty is felt at the 95th percentile."""


# -- too many at once ----------------------------------------------------------------------------


def overloaded_batch(seen: Observation) -> Finding | None:
    """Find a full batch in which each token, or the way into it, takes far longer than it could."""
    slow, inside = _slow_pace(seen), _waits_inside(seen)
    full = [one for one in seen.replicas if _is_full(one)] or _grown(seen, slow)
    if not full:
        return None
    if not slow and not inside:
        return None
    best = best_pace(seen) or 0.0
    seconds = [max(0.0, (decode(one) or 0.0) * (1 - best / (one.tpot or 1.0))) for one in slow]
    seconds += [one.engine_queue or one.engine or 0.0 for one in inside]
    figures = (*(_fullness(one) for one in full), *_paces(slow, best), *_inside(inside))
    return found(Cause.OVERLOADED_BATCH, figures, lost(seconds, seen), strong=bool(slow and inside))


def _is_full(replica: Replica) -> bool:
    return mostly([_full(look, replica.room) for look in replica.looks])


def _grown(seen: Observation, slow: Sequence[Request]) -> list[Replica]:
    """Return replicas whose batch outgrew their promise: it is many times that of the best pace.

    There may be room for more; that is why.
    """
    if not any(map(_pace_broken, slow)):
        return []
    bound = _GROWN * _company_of_the_best(seen)
    return [one for one in seen.replicas if mostly([_runs(look) >= bound for look in one.looks])]


def _company_of_the_best(seen: Observation) -> float:
    """Return how many ran at once on the replica, itself included, while a token was quickest."""
    done = [one for one in whole((*seen.earlier, *seen.requests)) if one.tpot is not None]
    best = sorted(done, key=lambda one: one.tpot or 0.0)[:ENOUGH]
    beside = [sum(_together(one, other) for other in done) for one in best]
    return median(beside) or math.inf


def _together(one: Request, other: Request) -> float:
    """Return for which share of one's time the other ran beside it."""
    if one.replica != other.replica:
        return 0.0
    since = max(one.ended - served(one), other.ended - served(other))
    return max(0.0, min(one.ended, other.ended) - since) / (served(one) or math.inf)


def _full(look: Look, room: int | None) -> bool:
    at_bound = bool(room and _runs(look) >= _FULL * room)
    return at_bound or bool(look.waiting and look.waiting >= 1)


def _runs(look: Look) -> float:
    return max(look.running or 0.0, look.assigned or 0.0)


def _slow_pace(seen: Observation) -> list[Request]:
    """Return the requests whose tokens took far longer than the best, if they are many."""
    best = best_pace(seen)
    done = whole(seen.requests)
    bound = _HALF_SPEED * best if best else math.inf
    slow = [one for one in done if _pace_broken(one) or (one.tpot or 0.0) >= bound]
    slow = [one for one in slow if not pace_kept(one)]
    return slow if len(slow) >= max(ENOUGH, len(done) / 2) else []


def _pace_broken(one: Request) -> bool:
    return None not in (one.tpot, one.promised_tpot) and not pace_kept(one)


def _waits_inside(seen: Observation) -> list[Request]:
    """Return the requests that spent most of their first token's time in the engine's queue."""
    done = whole(seen.requests)
    waits = [
        one
        for one in done
        if one.engine_queue
        and one.engine_queue >= (one.engine or 0.0) / 2
        and hurts(one.engine_queue, one)
    ]
    if len(waits) >= max(ENOUGH, MANY * len(done)):
        return waits
    looks = [look for replica in seen.replicas for look in replica.looks]
    if not mostly([bool(look.waiting and look.waiting >= 1) for look in looks]):
        return []
    quick = quantile((one.engine for one in (*seen.earlier, *done)), 0.1) or 0.0
    slow = [one for one in done if hurts(one.engine, one) and (one.engine or 0) >= SLOWER * quick]
    return slow if len(slow) >= max(ENOUGH, MANY * len(done)) else []


def _fullness(replica: Replica) -> str:
    running = mean(look.running for look in replica.looks)
    waiting = mean(look.waiting for look in replica.looks)
    runs = "?" if running is None else number(running)
    bound = f" of {replica.room}" if replica.room else ""
    inside = f", and {number(waiting)} wait inside" if waiting else ""
    return f"{replica.name} runs {runs}{bound} requests at once{inside}"


def _paces(slow: Sequence[Request], best: float) -> tuple[str, ...]:
    if not slow:
        return ()
    took = median(one.tpot for one in slow) or 0.0
    promised = next((one.promised_tpot for one in slow if one.promised_tpot), None)
    against = f", promised {span(promised)}" if promised else ""
    return (f"a token takes {span(took)}, at best {span(best)}{against}",)


def _inside(inside: Sequence[Request]) -> tuple[str, ...]:
    if not inside:
        return ()
    took = median(one.engine for one in inside) or 0.0
    return (f"{span(took)} from the engine to the first token of {count(len(inside), 'request')}",)


# -- KV cache ------------------------------------------------------------------------------------


def kv_pressure(seen: Observation) -> Finding | None:
    """Find preemptions, or requests that wait while the KV cache is full."""
    preempted = {one.name: grown(one.looks, "preemptions") or 0.0 for one in seen.replicas}
    evicted = sum(preempted.values())
    often = evicted >= max(1.0, _PREEMPTED * len(seen.requests))
    blocked = [one for one in seen.replicas if mostly([_blocked(look) for look in one.looks])]
    if not often and not blocked:
        return None
    figures = [f"{name}: {many:.0f} preemptions" for name, many in preempted.items() if many]
    figures += [_usage(one) for one in seen.replicas if blocked or preempted[one.name]]
    weight = max(evicted / max(1, len(seen.requests)), len(blocked) / len(seen.replicas))
    return found(Cause.KV_PRESSURE, tuple(figures), weight, strong=often)


def _blocked(look: Look) -> bool:
    """Whether requests wait while the cache is full, or lacks what one of those in it takes."""
    if look.kv_usage is None or not look.waiting or look.waiting < 1:
        return False
    one_more = look.kv_usage / look.running if look.running else 0.0
    return look.kv_usage >= _FULL or look.kv_usage + one_more > 1


def _usage(replica: Replica) -> str:
    usage = known(look.kv_usage for look in replica.looks)
    waiting = known(look.waiting for look in replica.looks)
    most = percent(max(usage)) if usage else "an unknown share"
    inside = f" while {max(waiting):.0f} wait inside" if any(waiting) else ""
    return f"{replica.name}'s KV cache is up to {most} full{inside}"
