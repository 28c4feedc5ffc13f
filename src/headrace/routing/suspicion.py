"""Who is ejected: replicas compared with their peers, and what to do when all look bad.

A replica is ejected after failures in a row, for a share of failures far above its peers', or for
latencies far above theirs. Latency alone never ejects more than half. `choose.py` says where work
goes when no replica is trusted, `health.py` how one comes back.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from headrace.routing.choose import Place
from headrace.routing.health import Health, Standing
from headrace.routing.window import Series, Window
from headrace.traffic.quantile import quantile

IN_ROW = 3
"""Failures in a row that eject."""
FAILURES = 5
"""Fewest failures in the window whose share is compared."""
SHARE_ABOVE = 0.25
"""How far a share of failures may be above the peers'."""
SAMPLES = 5
"""Fewest samples of a latency that are compared."""
TIMES_SLOWER = 4.0
"""How many times the median of its peers' medians a replica's median latency may be."""


@dataclass(frozen=True)
class _Kind:
    """A latency; one below `least` seconds is never held against a replica."""

    name: str
    least: float
    series: Callable[[Window], Series]


_KINDS = (
    _Kind("TTFT", 2.0, lambda window: window.ttft),
    _Kind("TPOT", 0.1, lambda window: window.tpot),  # 10 tokens a second: as fast as people read
)


def ended(
    place: Place,
    places: Iterable[Place],
    now: float,
    *,
    ok: bool,
    what: str = "",
    tpot: float | None = None,
) -> bool:
    """Take note of an attempt that ended on a replica; return whether it was ejected for it.

    To be called before the attempt's room is given back. What fails on a replica that takes no new
    work (it drains, or the runtime has taken it out) is counted and not held against it.
    """
    health = place.health
    health.ended(now, ok=ok, running=place.running, room=place.room, tpot=tpot)
    if ok or not place.ready or health.standing is Standing.EJECTED:
        return False
    reason = _too_many_failures(place, places, what, now)
    if reason:
        health.eject(reason, now, running=place.running)
    return bool(reason)


def _too_many_failures(place: Place, places: Iterable[Place], what: str, now: float) -> str:
    health = place.health
    last = f", the last: {what}" if what else ""
    if health.standing is not Standing.SOUND:
        return f"failed again while it was tried{last}"
    if health.in_row >= IN_ROW:
        return f"{health.in_row} failures in a row{last}"
    mine = health.window.counts(now, health.turned)
    if mine.failures < FAILURES:
        return ""
    theirs = [peer.health.window.counts(now, peer.health.turned) for peer in _peers(place, places)]
    requests, failures = sum(one.requests for one in theirs), sum(one.failures for one in theirs)
    share = failures / requests if requests else 0.0
    if not theirs or mine.share <= share + SHARE_ABOVE:
        return ""
    return f"{mine.share:.0%} of its requests failed, {share:.0%} of its peers'{last}"


def review(places: Collection[Place], now: float) -> list[Place]:
    """Eject replicas that are far slower than their peers and return them; call each second."""
    found = []
    for place in places:
        if not (place.ready and place.health.trusted):
            continue
        for kind in _KINDS:
            limit = _limit(kind, place, places, now)
            median = _median(kind, place.health, now)
            if median is None or limit is None or median <= limit or not _may_eject(places):
                continue
            reason = (
                f"{kind.name} p50 {median:.2g} s, above the limit of {limit:.2g} s by its peers'"
            )
            ttft_limit = limit if kind.name == "TTFT" else math.inf
            place.health.eject(
                *(reason, now), running=place.running, slow=True, ttft_limit=ttft_limit
            )
            found.append(place)
            break
    return found


def _may_eject(places: Iterable[Place]) -> bool:
    ready = [place for place in places if place.ready]
    slow = [place for place in ready if not place.health.trusted and place.health.slow]
    return len(slow) + 1 <= len(ready) // 2


def _limit(kind: _Kind, place: Place, places: Iterable[Place], now: float) -> float | None:
    """Return how slow a replica may be, in seconds; None when no peer has samples enough."""
    medians = [_median(kind, peer.health, now) for peer in _peers(place, places)]
    known = [median for median in medians if median is not None]
    return max(kind.least, TIMES_SLOWER * statistics.median(known)) if known else None


def _median(kind: _Kind, health: Health, now: float) -> float | None:
    """Return the median since the replica last returned; None when there are too few samples."""
    values = kind.series(health.window).recent(now, health.turned)
    return quantile(values, 0.5) if len(values) >= SAMPLES else None


def _peers(place: Place, places: Iterable[Place]) -> list[Place]:
    return [peer for peer in places if peer is not place and peer.ready and peer.health.trusted]


def all_suspect(places: Collection[Place]) -> str:
    """Return why no ready replica is trusted, by replica; "" while one is, or none is ready."""
    for place in places:  # asked several times for each request
        if place.ready and place.health.trusted:
            return ""
    return "; ".join(f"{place.id}: {place.health.reason}" for place in places if place.ready)
