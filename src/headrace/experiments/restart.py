"""What clients see when a replica stops under long streams, in words.

`restart_load.py` stops them; here is what follows, from figures alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import msgspec

from headrace.drill.report import Report
from headrace.evidence.result import Figure, Support
from headrace.experiments.case import Case
from headrace.experiments.direct_stop import Stopped
from headrace.experiments.finding import Conclusion, Plot, Series
from headrace.experiments.words import seconds
from headrace.fleet.units import format_duration
from headrace.pages.html import Table

NAMES = {
    "scale-down": "taken away by the fleet",
    "rollout": "replaced by a rollout",
    "stop": "told to stop behind the fleet's back (SIGTERM)",
    "kill": "killed (SIGKILL)",
    "hang": "frozen (SIGSTOP)",
    "crash": "left by its engine worker",
}
_MS = 1000.0


class Point(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One way to stop a replica: `drill` with the gateway before it, `direct` without.

    `drain` and `grace` are seconds, as the fleet file has them.
    """

    way: str
    drill: Report | None = None
    direct: Stopped | None = None
    drain: float
    grace: float


def conclude(points: Sequence[Point], case: Case) -> Conclusion:
    """Say what became of the streams, how long a stop takes, and what to set."""
    drills = [(one, one.drill) for one in points if one.drill is not None]
    return Conclusion(
        words=tuple(_words(points, case)),
        tables=tuple(_tables(points)),
        plots=_plots([report for _, report in drills]),
        figures=_figures(points),
        doubts=tuple(_doubts(points)),
        supports=tuple(_supports(points)),
        next=(
            "headrace drill --kind rollout on the fleet itself, with its own traffic"
            if all(report.good for _, report in drills)
            else "headrace drill --kind stop, again and again, until the cause is found"
        ),
    )


def _words(points: Sequence[Point], case: Case) -> Iterator[str]:
    reports = [one.drill for one in points if one.drill is not None]
    if reports:
        yield _answer(reports, case)
    yield from (_drilled(one, one.drill) for one in points if one.drill is not None)
    bare = [one.direct for one in points if one.direct is not None]
    yield from (_directly(one) for one in bare)
    yield from _lesson(bare)
    yield from _drain(points)


def _answer(reports: Sequence[Report], case: Case) -> str:
    begun, whole = sum(one.begun for one in reports), sum(one.whole for one in reports)
    went_on = sum(one.continued for one in reports)
    if not any(one.pauses for one in reports):
        return (
            f"no stream of {case.deployment} was on a replica when it stopped, so nothing is shown:"
            " ask longer answers (--set tokens=512)"
        )
    if whole == begun and all(one.good for one in reports):
        return (
            f"stopping a replica of {case.deployment} under load cost its clients nothing: all"
            f" {begun} answers came whole, {went_on or 'none'} of them continued by another replica"
        )
    return (
        f"stopping a replica of {case.deployment} under load cost {begun - whole} of {begun}"
        f" answers: {_harm(reports)}"
    )


def _harm(reports: Sequence[Report]) -> str:
    names = ("refused", "failed_loudly", "cut_silently", "lost", "doubled", "broken")
    counts = {name: sum(getattr(one, name) for one in reports) for name in names}
    return ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items() if count)


def _drilled(point: Point, report: Report) -> str:
    """Say what one way of stopping did."""
    name = NAMES.get(point.way, point.way)
    said = f"{name}: {report.whole} of {report.begun} whole, {report.continued} continued"
    if report.pause_ms.max is not None:
        calm = report.undisturbed_ms.max
        beside = f" beside {seconds(calm / _MS)} of the others" if calm is not None else ""
        said += f"; the longest pause was {seconds(report.pause_ms.max / _MS)}{beside}"
    gone = went(report)
    return said + (f"; the replica was gone after {seconds(gone)}" if gone is not None else "")


def went(report: Report, states: Collection[str] = ("gone",)) -> float | None:
    """Return seconds from the harm until a replica was seen in one of `states`; None if never."""
    harmed = next((deed.at for deed in report.timeline if deed.done), None)
    seen = (deed.at for deed in report.timeline if not deed.done and deed.what in states)
    first = next(seen, None)
    return None if harmed is None or first is None else first - harmed


def _directly(one: Stopped) -> str:
    ends = ", ".join(f"{count} {how}" for how, count in sorted(one.ends.items()))
    ready = (
        f"/health said 200 for another {seconds(one.ready_for)}"
        if one.ready_for is not None
        else "/health said 200 no more"
    )
    gone = f"gone after {seconds(one.gone)}" if one.gone is not None else "still there at the end"
    return (
        f"without a gateway, {one.signal} to the engine: of {one.streams} streams {ends}; {ready};"
        f" a new request {one.fresh}; the process was {gone}"
    )


def _lesson(bare: Sequence[Stopped]) -> Iterator[str]:
    polite = [one for one in bare if one.signal == "SIGTERM"]
    if any(one.whole == one.streams for one in polite):
        yield "so the engine itself lets its streams finish when it is told to stop"
    elif polite:
        yield (
            "so the engine itself does not let its streams finish when it is told to stop: it needs"
            " something before it that stops sending, waits, and only then tells it"
        )
    if any((one.ready_for or 0) > 1 and not one.answers for one in polite):
        yield (
            "it calls itself healthy while it takes no new work: a load balancer that only looks at"
            " /health sends it requests that fail; take it out before the signal (the gateway does;"
            " in a cluster a preStop pause or an endpoint that is told)"
        )


def _drain(points: Sequence[Point]) -> Iterator[str]:
    took = [seconds_ for one in points if (seconds_ := _drained(one)) is not None]
    if not took:
        return
    drain = points[0].drain
    room = "within" if max(took) <= drain else "beyond"
    yield (
        f"draining took {seconds(max(took))}, {room} lifecycle.drain ({format_duration(drain)}):"
        " it has to cover the longest answer that must not move, not these"
    )


def _drained(point: Point) -> float | None:
    """Return seconds until a replica that was taken away had nothing left to finish."""
    if point.way != "scale-down" or point.drill is None:
        return None
    return went(point.drill, ("stopping", "gone"))


def _tables(points: Sequence[Point]) -> Iterator[Table]:
    drills = [(one, one.drill) for one in points if one.drill is not None]
    if drills:
        head = ("a replica is", "answers", "whole", "continued", "bad", "refused", "longest pause")
        rows = [
            (
                NAMES.get(one.way, one.way),
                str(report.begun),
                str(report.whole),
                str(report.continued),
                str(report.cut_silently + report.lost + report.doubled + report.broken),
                str(report.refused + report.failed_loudly),
                seconds(None if report.pause_ms.max is None else report.pause_ms.max / _MS),
                seconds(went(report)),
            )
            for one, report in drills
        ]
        yield Table((*head, "gone after"), tuple(rows), caption="with the gateway before it")
    if bare := [one.direct for one in points if one.direct is not None]:
        rows_ = [
            (
                one.signal,
                str(one.streams),
                str(one.whole),
                "; ".join(f"{count} {how}" for how, count in sorted(one.ends.items())),
                seconds(one.ready_for),
                one.fresh,
                seconds(one.gone),
            )
            for one in bare
        ]
        names = ("signal", "streams", "whole", "how they ended", "healthy for", "a new request")
        yield Table(
            (*names, "gone after"), tuple(rows_), words=(0, 3, 5), caption="the engine alone"
        )


def _plots(reports: Sequence[Report]) -> tuple[Plot, ...]:
    there = [one for one in reports if one.pause_ms.max is not None]
    if not there:
        return ()
    names = tuple(one.kind for one in there)

    def series(name: str, values: Iterator[float | None]) -> Series:
        return Series(name, names, tuple(None if one is None else one / _MS for one in values))

    return (
        Plot(
            heading="Longest silence between two tokens",
            reading="Of streams that the stop disturbed, beside the others.",
            x="how it was stopped",
            y="seconds",
            kind="bars",
            series=(
                series("disturbed, longest", (one.pause_ms.max for one in there)),
                series("others, longest", (one.undisturbed_ms.max for one in there)),
            ),
        ),
    )


def _figures(points: Sequence[Point]) -> dict[str, Figure]:
    made = {}
    for one in points:
        if one.drill is not None:
            share = one.drill.whole / one.drill.begun if one.drill.begun else 0.0
            made[f"whole, {one.way}"] = Figure(value=share, unit="share", n=one.drill.begun)
            if (gone := went(one.drill)) is not None:
                made[f"gone after, {one.way}"] = Figure(value=gone, unit="s")
        if one.direct is not None:
            share = one.direct.whole / one.direct.streams
            name = f"whole on the bare engine, {one.direct.signal}"
            made[name] = Figure(value=share, unit="share", n=one.direct.streams)
    return made


def _doubts(points: Sequence[Point]) -> Iterator[str]:
    for one in points:
        if one.drill is None:
            continue
        if not one.drill.pauses:
            yield f"{one.way}: no stream was on the replica that stopped"
        if one.drill.unchecked:
            yield f"{one.way}: {one.drill.unchecked}"
        if one.drill.checked and one.drill.checked.suspects:
            yield f"{one.way}: an engine would not have written {len(one.drill.checked.suspects)}"
        yield from (f"{one.way}: {example}" for example in one.drill.examples[:3])


def _supports(points: Sequence[Point]) -> Iterator[Support]:
    planned = [one for one in points if one.way == "scale-down" and one.drill and one.drill.pauses]
    for one in planned:
        report, gone = one.drill, _drained(one)
        if report is None or gone is None:
            continue
        yield Support(
            setting="lifecycle.drain",
            value=format_duration(one.drain),
            holds=report.good and gone <= one.drain,
            says=f"{report.whole} of {report.begun} answers whole, drained in {seconds(gone)}",
        )
