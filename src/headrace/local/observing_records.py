"""The gateway's records of requests, as a diagnosis reads them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from headrace.diagnosis.observation import Outcome, Request
from headrace.gateway import history
from headrace.gateway.history import Wanted
from headrace.gateway.records import Attempt, Record

MOST = 5000
"""Requests that are read of the time that is looked at, the latest; more would change no figure."""
MOST_EARLIER = 1000
"""Requests from before, to compare with."""
_NOT_ITS_FAULT = ("engine_refused", "bad_request")
"""What a client asked wrongly says nothing about a fleet."""
_OUTCOMES: Mapping[str, Outcome] = {
    "ok": Outcome.OK,
    "client_gone": Outcome.GONE,
    "refused": Outcome.REFUSED,
    "took_too_long": Outcome.TIMEOUT,
}
_SENT_AWAY = ("aborted", "moved")
"""Fates: an engine that drains aborts what comes, and the gateway leaves one whose time is over."""
_SENT_AWAY_WORDS = ("abort", "aborted the request", "is to be left")
"""The outcomes of these in records from before attempts had a fate."""
Promises = Mapping[str, tuple[float | None, float | None]]
"""Seconds to the first token, and for each token, that a route promises; None: nothing."""


def read_requests(
    store: Path, deployment: str, zero: float, earliest: float, promises: Promises
) -> tuple[tuple[Request, ...], tuple[Request, ...]]:
    """Return the deployment's requests that ended since the Unix time `zero`, and earlier ones.

    Of those before `earliest` none. StoreError if the file cannot be read.
    """
    if not store.exists():
        return (), ()
    now = Wanted(deployment=deployment, since=zero, limit=MOST)
    before = Wanted(deployment=deployment, since=earliest, until=zero, limit=MOST_EARLIER)
    seen, earlier = (
        tuple(_requests((one.record for one in history.select(store, wanted)), zero, promises))
        for wanted in (now, before)
    )
    return seen, earlier


def _requests(records: Iterable[Record], zero: float, promises: Promises) -> Iterable[Request]:
    return (
        request(one, zero, promises.get(one.route or "", (None, None)))
        for one in records
        if one.error not in _NOT_ITS_FAULT
    )


def request(record: Record, zero: float, promised: tuple[float | None, float | None]) -> Request:
    """Return a record as a diagnosis sees it, with times from the Unix time `zero`."""
    last = len(record.tried) - 1
    broken = [one for at, one in enumerate(record.tried) if at < last or one.outcome != "ok"]
    return Request(
        at=record.time.timestamp() - zero,
        duration=record.duration_s,
        outcome=_OUTCOMES.get(record.outcome, Outcome.FAILED),
        replica=record.replica,
        held=record.held_s,
        queued=record.queued_s,
        engine=record.engine_s,
        engine_queue=record.engine_queue_s,
        ttft=record.ttft_s,
        tpot=record.tpot_s,
        stalled=record.stalled_s,
        prompt_tokens=record.prompt_tokens,
        cached_tokens=record.cached_tokens,
        output_tokens=record.completion_tokens,
        left=tuple(one.replica for one in broken),
        sent_away=bool(broken) and _sent_away(broken[0]),
        error=record.error or next((one.outcome for one in broken if one.outcome != "ok"), ""),
        promised_ttft=promised[0],
        promised_tpot=promised[1],
    )


def _sent_away(one: Attempt) -> bool:
    return one.fate in _SENT_AWAY or (one.fate is None and one.outcome in _SENT_AWAY_WORDS)
