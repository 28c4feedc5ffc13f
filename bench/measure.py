"""One measurement: a fresh back end, a fresh proxy, a load; what the proxy used meanwhile."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import psutil

from bench.contenders import Contender
from bench.messages import BackendReport, Outcome, Ports
from bench.plan import Scenario
from bench.processes import Child, Cores, MeasureError, free_port, running, wait_until_serving
from bench.usage import Usage, resident, usage

MOST_LAG = 0.005  # seconds: a load that is later than this was another load than the one meant
MOST_LAG_SHARE = 0.05  # of the gap: a load that is later than this blurs what it times
_NO_USAGE = Usage(frozenset(), 0.0, 0)


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """What one contender did in one scenario; CPU in seconds, memory in bytes."""

    scenario: str
    contender: str
    repeat: int
    gap: float
    outcome: Outcome
    backend: BackendReport
    cpu: float
    rss_before: int
    rss_most: int
    same_processes: bool

    @property
    def lag(self) -> float:
        """How late (p99, seconds) the client or the back end was, whichever was later."""
        return max(self.outcome.lag_p99, self.backend.lag_p99)

    @property
    def invalid(self) -> str:
        """Why nothing of this measurement may be used; empty if it may."""
        if self.outcome.errors:
            return f"errors: {self.outcome.failed}"
        if not self.same_processes:
            return "the proxy's processes changed, so their CPU time is not known"
        if self.lag > MOST_LAG:
            return (
                f"the load was late: {self.lag * 1000:.1f} ms at p99, {MOST_LAG * 1000:.0f} allowed"
            )
        return ""

    @property
    def blurred(self) -> bool:
        """Whether the load was too late for its times (not its CPU time) to be used."""
        return self.lag > MOST_LAG_SHARE * self.gap


@dataclass(frozen=True)
class Setting:
    """Which measurement is made, and where."""

    scenario: Scenario
    contender: Contender
    repeat: int
    cores: Cores


@dataclass(frozen=True)
class Ends:
    """What is on both sides of a proxy, ready for a load."""

    backend: Child
    ports: list[int]
    client: Child
    folder: Path

    def prepare(self, scenario: Scenario, targets: list[int], repeat: int) -> None:
        """Have the client open its connections."""
        job = msgspec.structs.replace(scenario.job, targets=targets, seed=repeat)
        self.client.tell(msgspec.json.encode(job) + b"\n")
        self.client.hear(60)

    def load(self, scenario: Scenario, meanwhile: Callable[[], None]) -> Outcome:
        """Run the load that was prepared, calling `meanwhile` about 10 times a second."""
        self.client.tell(b"go\n")
        return msgspec.json.decode(self.client.hear(scenario.seconds + 60, meanwhile), type=Outcome)

    def report(self) -> BackendReport:
        """Send the back end away and return its last words."""
        self.backend.finish()
        return msgspec.json.decode(self.backend.hear(10), type=BackendReport)


@contextlib.contextmanager
def ends(scenario: Scenario, cores: Cores) -> Iterator[Ends]:
    """Start a back end and a client; MeasureError if either does not do its part."""
    gap = ("--gap-ms", str(scenario.gap_ms))
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # nginx serves as another user when it is started by root
        with (
            _python("bench.backend", *gap, cores=cores.backend, folder=folder) as backend,
            _python("bench.client", cores=cores.client, folder=folder) as client,
        ):
            ports = msgspec.json.decode(backend.hear(10), type=Ports).ports
            yield Ends(backend, ports, client, folder)


@contextlib.contextmanager
def proxy(
    contender: Contender, between: Ends, cores: Cores
) -> Iterator[tuple[Child | None, list[int]]]:
    """Start a contender in front of the back end; where it listens (direct: the back end)."""
    if contender.command is None:
        yield None, between.ports
        return
    listen = free_port()
    own = between.folder / contender.name
    own.mkdir(mode=0o755)
    command = contender.command(listen, between.ports, own)
    with running(contender.name, command, cores.proxy, own / "log") as child:
        wait_until_serving(child, listen)
        yield child, [listen]


def measure(setting: Setting) -> Measurement:
    """Run a scenario once against a contender; MeasureError if a process does not do its part."""
    with ends(setting.scenario, setting.cores) as between:
        with proxy(setting.contender, between, setting.cores) as (child, targets):
            load = _load(setting, child, between, targets)
        return load(between.report())


def _load(
    setting: Setting, child: Child | None, between: Ends, targets: list[int]
) -> Callable[[BackendReport], Measurement]:
    """Run the load; return what makes a measurement of it and the back end's report."""
    between.prepare(setting.scenario, targets, setting.repeat)
    before = used(child)
    most = before.rss

    def watch() -> None:
        nonlocal most
        # A process that has ended is noticed after the load, with a better message.
        with contextlib.suppress(psutil.NoSuchProcess):
            most = max(most, resident(before.pids))

    outcome = between.load(setting.scenario, watch)
    after = used(child)
    return lambda backend: Measurement(
        scenario=setting.scenario.name,
        contender=setting.contender.name,
        repeat=setting.repeat,
        gap=setting.scenario.job.gap,
        outcome=outcome,
        backend=backend,
        cpu=after.cpu - before.cpu,
        rss_before=before.rss,
        rss_most=max(most, after.rss),
        same_processes=before.pids == after.pids,
    )


def used(child: Child | None) -> Usage:
    """Return what a proxy has used so far; MeasureError if it has ended."""
    if child is None:
        return _NO_USAGE
    if child.process.poll() is not None:
        raise MeasureError(f"{child.name} ended under load. {child.last_words()}")
    return usage(child.process.pid)


@contextlib.contextmanager
def _python(module: str, *arguments: str, cores: frozenset[int], folder: Path) -> Iterator[Child]:
    command = [sys.executable, "-m", module, *arguments]
    with running(module, command, cores, folder / module, talks=True) as child:
        yield child
