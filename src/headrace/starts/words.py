"""What a deployment's starts mean, in words: which phase takes the time, and what would help. Pure.

`headrace starts` prints them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from headrace.starts.start import Start
from headrace.starts.summary import Spread, Summary
from headrace.traffic.quantile import quantile_of_ascending

_FEW = 3
"""Starts of each kind from which two kinds are compared."""
_NOTABLE = 1.25
"""The ratio of medians that is worth a sentence."""
_SHOWN = 0.05
"""Seconds that a table shows as more than nothing."""
_WARM, _COLD = 0.9, 0.5
"""Shares of the weights in the page cache."""

_HELP = {
    "schedule": "nodes come late: keep room for one more replica on a node, or warm replicas"
    " (scaling.min)",
    "volume": "volumes come late: one that many nodes can read needs no attaching (--storage rwx)",
    "image": "have the image on the nodes before, or a smaller one",
    "environment": "`headrace prepare` does that before; it is done once on a machine",
    "weights": "have the weights there before: `headrace prepare`, or in a cluster a volume that"
    " they are pulled into once",
    "start": "nobody could read the engine's log, so this is all of its own phases",
    "load": "weights are read and laid out: a faster disk, or fewer bytes (quantization)",
    "kv cache": "the engine measures how much memory is left; kv_cache in bytes spares it that",
    "warm-up": "compiling and capturing: kept compile caches (VLLM_CACHE_ROOT on a volume) or"
    " enforce-eager start sooner; the latter answers more slowly",
    "serve": "the API's own start, which no setting shortens",
    "known prompt": "the first answer: it is slow where kernels are compiled at first use",
}
_IMPORT = "each of the engine's processes imports its modules in turn, before anything else"
_SHARED = "the engine's processes share one import already: only a warm replica is sooner"


class Dominant(NamedTuple):
    """The phase that takes most of a start, at the median, and what would help."""

    phase: str
    seconds: float
    share: float
    help: str


def dominant(summary: Summary, starts: Sequence[Start]) -> Dominant | None:
    """Return the longest phase of starts that got ready; None if none did."""
    if not summary.phases or summary.total is None:
        return None
    phase, spread = max(summary.phases.items(), key=lambda item: item[1].p50)
    whole = sum(one.p50 for one in summary.phases.values())
    quick = all(one.quick for one in starts if one.outcome == "ready")
    advice = (_SHARED if quick else _IMPORT) if phase == "import" else _HELP.get(phase, "")
    return Dominant(phase, spread.p50, spread.p50 / whole if whole else 0.0, advice)


def sentences(summary: Summary, starts: Sequence[Start]) -> Iterator[str]:
    """Yield what its starts (`starts`, all of the subject) teach; nothing that they do not show."""
    ready = [one for one in starts if one.outcome == "ready"]
    if found := dominant(summary, starts):
        yield f"{found.phase} takes {found.seconds:.1f} s, {found.share:.0%} of it: {found.help}"
    yield from _compare(
        ready, "starts beside other starts take", lambda one: one.beside > 0, "lead"
    )
    yield from _compare(
        [one for one in ready if one.resident is not None and not _COLD < one.resident < _WARM],
        "with the weights not in the page cache, loading takes",
        lambda one: (one.resident or 0.0) <= _COLD,
        "load",
    )
    yield from _failures(summary, starts)


def _compare(
    starts: Sequence[Start], what: str, odd: Callable[[Start], bool], phase: str
) -> Iterator[str]:
    """Yield a sentence if the odd ones take notably longer than the others."""
    seconds = {
        kind: sorted(_seconds(one, phase) for one in starts if odd(one) is kind)
        for kind in (True, False)
    }
    if min(map(len, seconds.values())) < _FEW:
        return
    slow, usual = (quantile_of_ascending(seconds[kind], 0.5) for kind in (True, False))
    if usual and slow / usual >= _NOTABLE:
        counts = f"{len(seconds[True])} and {len(seconds[False])} starts"
        yield f"{what} {slow:.1f} s instead of {usual:.1f} s ({counts})"


def _seconds(start: Start, phase: str) -> float:
    return start.lead if phase == "lead" else start.phases.get(phase, 0.0)


def _failures(summary: Summary, starts: Sequence[Start]) -> Iterator[str]:
    failed = [one for one in starts if one.outcome == "failed"]
    if failed:
        last = failed[-1]
        why = f": {last.why}" if last.why else ""
        where = f" in phase '{last.ended_in}'" if last.ended_in else ""
        total = summary.ready + summary.failed
        yield f"{summary.failed} of {total} failed, the last at {last.began[:19]}{where}{why}"


def by_name(summary: Summary) -> list[tuple[str, Spread]]:
    """Return the phases, then what they make: `total`, and without preparing where that differs."""
    rows = list(summary.phases.items())
    if summary.total is not None:
        rows.append(("total", summary.total))
    if summary.lead and summary.total and summary.total.longest - summary.lead.longest >= _SHOWN:
        rows.append(("without preparing", summary.lead))
    return rows


def shown(rows: list[tuple[str, Spread]]) -> list[tuple[str, Spread]]:
    """Return the rows that are worth a line for people: no phase that never took any time."""
    return [(name, spread) for name, spread in rows if spread.longest >= _SHOWN]
