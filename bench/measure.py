"""One measurement: a fresh back end, a fresh proxy, a load; what the proxy used meanwhile."""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import psutil

from bench.contenders import Contender
from bench.messages import BackendReport, Outcome, Ports
from bench.plan import Scenario
from bench.processes import Child, Cores, MeasureError, free_port, running, wait_until_serving
from bench.usage import Usage, cpu_seconds, resident, usage

MOST_LAG = 0.005  # seconds: a load that is later than this was another load than the one meant
MOST_LAG_SHARE = 0.05  # of the gap: a load that is later than this blurs what it times
_LOOKS = 10  # a tenth of a second apart: fewer span too little
_NO_USAGE = Usage(frozenset(), 0.0, 0)


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """What one contender did in one scenario; CPU in seconds, memory in bytes.

    `passing` is the CPU for each chunk while streams were open and none began or ended; 0 where
    there was no such time.
    """

    scenario: str
    contender: str
    repeat: int
    gap: float
    outcome: Outcome
    backend: BackendReport
    cpu: float
    passing: float = 0.0
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
            return "errors: " + ", ".join(
                f"{n} x {kind}" for kind, n in self.outcome.errors.items()
            )
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


def measure(setting: Setting) -> Measurement:
    """Run a scenario once against a contender; MeasureError if a process does not do its part."""
    cores = setting.cores
    gap = ("--gap-ms", str(setting.scenario.gap_ms))
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # nginx serves as another user when it is started by root
        with (
            _python("bench.backend", *gap, cores=cores.backend, folder=folder) as backend,
            _python("bench.client", cores=cores.client, folder=folder) as client,
        ):
            ports = msgspec.json.decode(backend.hear(10), type=Ports).ports
            with _proxy(setting, ports, folder) as (proxy, targets):
                load = _load(setting, proxy, client, targets)
            backend.finish()
            return load(msgspec.json.decode(backend.hear(10), type=BackendReport))


@contextlib.contextmanager
def _proxy(
    setting: Setting, ports: list[int], folder: Path
) -> Iterator[tuple[Child | None, list[int]]]:
    contender = setting.contender
    if contender.command is None:
        yield None, ports
        return
    listen = free_port()
    command = contender.command(listen, ports, folder)
    with running(contender.name, command, setting.cores.proxy, folder / "proxy") as proxy:
        wait_until_serving(proxy, listen)
        yield proxy, [listen]


def _load(
    setting: Setting, proxy: Child | None, client: Child, targets: list[int]
) -> Callable[[BackendReport], Measurement]:
    """Run the load; return what makes a measurement of it and the back end's report."""
    job = msgspec.structs.replace(setting.scenario.job, targets=targets, seed=setting.repeat)
    client.tell(msgspec.json.encode(job) + b"\n")
    client.hear(60)
    before = _usage(proxy)
    most = before.rss
    begun = time.monotonic()
    seen: list[tuple[float, float]] = []

    def watch() -> None:
        nonlocal most
        # A process that has ended is noticed after the load, with a better message.
        with contextlib.suppress(psutil.NoSuchProcess, OSError):
            most = max(most, resident(before.pids))
            seen.append((time.monotonic() - begun, sum(map(cpu_seconds, before.pids))))

    client.tell(b"go\n")
    patience = setting.scenario.seconds + 60
    outcome = msgspec.json.decode(client.hear(patience, watch), type=Outcome)
    after = _usage(proxy)
    return lambda backend: Measurement(
        scenario=setting.scenario.name,
        contender=setting.contender.name,
        repeat=setting.repeat,
        gap=setting.scenario.job.gap,
        outcome=outcome,
        backend=backend,
        cpu=after.cpu - before.cpu,
        passing=passing(setting.scenario, seen),
        rss_before=before.rss,
        rss_most=max(most, after.rss),
        same_processes=before.pids == after.pids,
    )


def passing(scenario: Scenario, seen: list[tuple[float, float]]) -> float:
    """Return the CPU seconds for each chunk, of (seconds since the start, CPU seconds) by then."""
    if scenario.passing is None:
        return 0.0
    begin, end = scenario.passing
    inside = [one for one in seen if begin <= one[0] <= end]
    if len(inside) < _LOOKS:
        raise MeasureError("the proxy's CPU time was hardly looked at while streams ran: too busy")
    (earlier, used), (later, more) = inside[0], inside[-1]
    return (more - used) / (scenario.job.streams * (later - earlier) / scenario.job.gap)


def _usage(proxy: Child | None) -> Usage:
    if proxy is None:
        return _NO_USAGE
    if proxy.process.poll() is not None:
        raise MeasureError(f"{proxy.name} ended under load. {proxy.last_words()}")
    return usage(proxy.process.pid)


@contextlib.contextmanager
def _python(module: str, *arguments: str, cores: frozenset[int], folder: Path) -> Iterator[Child]:
    command = [sys.executable, "-m", module, *arguments]
    with running(module, command, cores, folder / module, talks=True) as child:
        yield child
