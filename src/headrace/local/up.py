"""`headrace up`: from a checked fleet file to a fleet that serves, and to its end.

First what refuses at once (the lock, the port, the machine), then what takes long (weights,
engines), then `supervisor.py`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager

from headrace.fleet.load import FleetFile, raise_problems
from headrace.hardware.machine import Machine, read_machine
from headrace.local import prepare
from headrace.local.edition import Edition
from headrace.local.errors import LocalError, setting_up
from headrace.local.gpus import read_gpus
from headrace.local.preflight import Finding
from headrace.local.recording import Preparation, Recorder
from headrace.local.reserve import AddressError, Reserved, listening, locked
from headrace.local.rollout_load import Loader
from headrace.local.supervisor import Supervisor
from headrace.models.progress import Listener
from headrace.planning.settled import settled
from headrace.starts.ledger import of_fleet
from headrace.view.display import Display
from headrace.view.events import event

_WORTH_TELLING = 0.5
"""Seconds from which a step of the preparation is told."""


Bars = Callable[[], AbstractContextManager[Listener]]


def up(file: FleetFile, display: Display, bars: Bars) -> int:
    """Serve the fleet in the foreground until Ctrl-C or `headrace down`; return the exit status.

    `bars` is opened only while weights are fetched, because a terminal has room for one live
    picture; `display` hears about everything else. Raises FleetError with everything that this
    machine lacks, WeightsError, and any LocalError.
    """
    with ExitStack() as stack:
        state, lock = stack.enter_context(locked(file))
        machine, gpus = read_machine(), read_gpus()
        findings = list(_findings(file, machine, gpus))
        reserved: Reserved | None = None
        try:
            reserved = stack.enter_context(listening(file, state, lock))
        except AddressError as bad:
            findings += [(("gateway", error.field), str(error)) for error in bad.errors]
        raise_problems(file.problem(path, message) for path, message in findings)
        if reserved is None:
            raise LocalError("the address was not reserved")
        prepared = Preparation()
        # between the long steps, which have words of their own
        with setting_up("the start was planned", "nothing was started"):
            edition = _prepare(file, machine, gpus, display, bars, prepared=prepared)
        loader = Loader(gpus, read_machine)
        starts = Recorder(state.starts, of_fleet(file.fleet.fleet, file.path), prepared.of(edition))
        supervisor = Supervisor(edition, reserved, display, loader, starts=starts)
        return asyncio.run(supervisor.run())


def _findings(file: FleetFile, machine: Machine, gpus: tuple[str, ...]) -> Iterator[Finding]:
    yield from prepare.engine_findings(file)
    yield from prepare.machine_findings(file, machine, gpus, prepare.locked_sizes(file))


def _prepare(
    file: FleetFile,
    machine: Machine,
    gpus: tuple[str, ...],
    display: Display,
    bars: Bars,
    *,
    prepared: Preparation,
) -> Edition:
    with _timed(display, "weights"), bars() as progress:
        weights = prepare.prepare_weights(file, progress, took=prepared.weights)
    plan = settled(file)
    file = plan.file
    for line in plan.lines():
        _note(display, "plan", line)
    _check_again(file, machine, gpus)
    with _timed(display, "engines"), prepared.environment():
        pythons = prepare.prepare_engines(file, lambda text: _note(display, "engines", text))
    return Edition(file, tuple(prepare.blueprints(file, weights, pythons, machine, gpus)))


def _check_again(file: FleetFile, machine: Machine, gpus: tuple[str, ...]) -> None:
    """Now that the lock file knows the size of all weights, see whether they fit."""
    sizes: Mapping[str, int] = prepare.locked_sizes(file)
    found = prepare.machine_findings(file, machine, gpus, sizes)
    raise_problems(file.problem(path, message) for path, message in found)


@contextmanager
def _timed(display: Display, what: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    took = time.monotonic() - began
    if took >= _WORTH_TELLING:
        display.show(event("note", what, "ready after", took))


def _note(display: Display, subject: str, text: str) -> None:
    display.show(event("note", subject, text))
