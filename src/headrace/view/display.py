"""What a person sees of a fleet that is up: a live table on a terminal, plain lines elsewhere.

Both show the same events (`events.py`); the table redraws the status (`status.py`) below them.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Protocol, TextIO

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from headrace.view.events import TROUBLE, Event
from headrace.view.states import State
from headrace.view.status import DeploymentStatus, FleetStatus, ReplicaStatus

GetStatus = Callable[[], FleetStatus]
_REFRESH = 0.25
_COLOURS = {
    State.READY: "green",
    State.WRONG: "red",
    State.CRASHED: "red",
    State.DRAINING: "yellow",
    State.STOPPING: "yellow",
}


class Display(Protocol):
    """Where a fleet tells what happens."""

    def show(self, happened: Event) -> None:
        """Show one event."""
        ...

    def serving(self, status: FleetStatus) -> None:
        """Say that the fleet serves, and how to try it."""
        ...

    async def run(self, status: GetStatus) -> None:
        """Keep the picture fresh until cancelled."""
        ...


def display_for(stream: TextIO = sys.stdout) -> Display:
    """Return the display that suits where standard output goes."""
    return TerminalDisplay(Console(file=stream)) if stream.isatty() else PlainDisplay(stream)


class PlainDisplay:
    """One line per event, with its time, written at once: for pipes, logs and CI."""

    def __init__(self, stream: TextIO = sys.stdout) -> None:
        self._stream = stream

    def show(self, happened: Event) -> None:
        """Write the event."""
        self._write(line(happened))

    def serving(self, status: FleetStatus) -> None:
        """Write the address and a command to try."""
        self._write(invitation(status))

    async def run(self, status: GetStatus) -> None:
        """Nothing to keep fresh."""

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError):  # nobody reads any more; the fleet serves on
            print(text, file=self._stream, flush=True)


class TerminalDisplay:
    """Events scroll by above a table of all replicas."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def show(self, happened: Event) -> None:
        """Print the event above the table."""
        colour = "red" if happened.kind in TROUBLE else ""
        self._console.print(Text(line(happened), style=colour))

    def serving(self, status: FleetStatus) -> None:
        """Print the address and a command to try."""
        self._console.print(Text(invitation(status), style="bold"))

    async def run(self, status: GetStatus) -> None:
        """Redraw the table until cancelled."""
        with Live(console=self._console, auto_refresh=False, transient=True) as live:
            while True:
                live.update(table(status()), refresh=True)
                await asyncio.sleep(_REFRESH)


def line(happened: Event) -> str:
    """Return an event as one line (more where an engine's words have more)."""
    clock = time.strftime("%H:%M:%S", time.localtime(happened.at))
    seconds = "" if happened.seconds is None else f" {happened.seconds:.1f} s"
    return f"{clock} {happened.subject}: {_SAID.get(happened.kind, '')}{happened.text}{seconds}"


_SAID = {
    "phase": "  ",
    "ready": "ready: ",
    "unhealthy": "UNHEALTHY: ",
    "wrong": "WRONG ANSWER: ",
    "crashed": "CRASHED: ",
    "gave-up": "GAVE UP: ",
}


def invitation(status: FleetStatus) -> str:
    """Return the last lines of a start: where it serves, and a command that tries it."""
    able = [one for one in status.deployments if not one.given_up]
    models = " ".join(dict.fromkeys(model for one in able for model in one.models))
    asleep = [one.name for one in able if not one.desired]
    return f"ready: {status.address}  model {models}\n{_asleep(asleep)}{_trial(status)}"


def _trial(status: FleetStatus) -> str:
    """Return a command that gets an answer; some fleets have a route for special requests only."""
    if not status.plain:
        return "try:   headrace route says which requests have a route; one with no more has none"
    body = f'{{"model": "{status.plain}", "messages": [{{"role": "user", "content": "Hello"}}]}}'
    key = " -H 'authorization: Bearer YOUR-KEY'" if status.keyed else ""
    return (
        f"try:   curl {status.address}/chat/completions -H 'content-type: application/json'{key} "
        f"-d '{body}'"
    )


def _asleep(names: list[str]) -> str:
    if not names:
        return ""
    return f"idle:  {', '.join(names)} starts with the first request, which waits meanwhile\n"


def table(status: FleetStatus) -> Table:
    """Return the fleet as a table, one row per replica."""
    state = "stopping" if status.stopping else status.address
    grid = Table(title=f"{status.fleet}  {state}", title_justify="left", box=None, pad_edge=False)
    for column in ("replica", "state", "for", "phases", "in flight", "waiting"):
        grid.add_column(column)
    for deployment in status.deployments:
        for replica in deployment.replicas:
            grid.add_row(*_row(replica))
        grid.add_row(*_summary(deployment), style="dim")
    return grid


def remarks(status: FleetStatus) -> Iterator[str]:
    """Yield what the table has no place for: gateways, the last rollout, work by route."""
    if status.admin:
        yield f"metrics: {status.admin}/metrics"
    if status.finishing:
        many = "gateways finish their" if status.finishing > 1 else "gateway finishes its"
        yield f"gateway: {status.finishing} replaced {many} streams"
    if status.rollout:
        state, text = status.rollout.state, status.rollout.text
        said = text if text.startswith(state) else f"{state}: {text}"
        yield f"rollout to {status.rollout.new}: {said}"
    if status.note:
        yield f"note: {status.note}"
    yield from _by_route(status)


def _by_route(status: FleetStatus) -> Iterator[str]:
    """Yield each route's work, over all deployments, where there is more than one route."""
    work: dict[str, tuple[int, int]] = {}
    for deployment in status.deployments:
        for name, (waits, runs) in deployment.routes.items():
            before = work.get(name, (0, 0))
            work[name] = (before[0] + waits, before[1] + runs)
    if len(work) > 1:
        for name, (waits, runs) in work.items():
            yield f"route {name}: {waits} waiting, {runs} running"


def _row(replica: ReplicaStatus) -> tuple[str | Text, ...]:
    return (
        replica.id,
        Text(replica.state, style=_COLOURS.get(replica.state, "cyan")),
        f"{replica.age:.0f} s",
        phases(replica),
        "" if replica.in_flight is None else f"{replica.in_flight}/{replica.room}",
        "",
    )


def _summary(deployment: DeploymentStatus) -> tuple[str | Text, ...]:
    paused = ", paused" if deployment.paused else ""
    return (
        deployment.name,
        f"{deployment.ready} of {deployment.desired} ready{paused}",
        "",
        Text(deployment.why, overflow="ellipsis", no_wrap=True),
        str(deployment.running),
        str(deployment.held + deployment.queued),
    )


def phases(replica: ReplicaStatus) -> str:
    """Return start-up phases with their seconds, the present one last: `import 8.1, load 2.0…`."""
    done = [f"{phase.name} {phase.seconds:.1f}" for phase in replica.phases]
    now = [f"{replica.phase} {replica.in_phase:.0f}…"] if replica.phase else []
    return ", ".join([*done, *now])
