"""Where an experiment happens: it gives copies, sends load, keeps runs, and says what goes on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from headrace.bench.asks import Ask
from headrace.bench.load import Load, Progress
from headrace.bench.measure import measure
from headrace.bench.run import Run
from headrace.bench.target import Page, Target
from headrace.evidence.deployment import endpoint_fingerprint, fingerprint
from headrace.evidence.fingerprint import Fingerprint
from headrace.experiments.case import Case
from headrace.experiments.change import AS_IT_IS, Change
from headrace.experiments.copies import Copy, started
from headrace.experiments.endpoint import Endpoint
from headrace.experiments.errors import ExperimentError
from headrace.fleet.load import FleetFile


@dataclass
class Lab:
    """What experiments share; `folder` is where runs are kept.

    `file` is the user's fleet file with nothing open, None for an endpoint of others; `standing` is
    an endpoint that serves already and is not changed: the running fleet, or that of others. `tell`
    hears lines that stay, `doing` what goes on just now. `settings` are by label of a copy.
    """

    case: Case
    folder: Path
    tell: Callable[[str], None]
    doing: Callable[[str], None]
    file: FleetFile | None = None
    standing: Endpoint | None = None
    runs: list[str] = field(default_factory=list)
    settings: dict[str, Fingerprint] = field(default_factory=dict)

    @asynccontextmanager
    async def copy(self, change: Change = AS_IT_IS) -> AsyncIterator[Copy]:
        """Start a copy of the deployment beside the fleet; it has ended when the block is left.

        ExperimentError without a fleet file, without room on this machine, or if it does not start.
        """
        if self.file is None:
            raise ExperimentError(
                "this experiment starts changed copies, so it needs a fleet file: headrace"
                " experiment NAME FLEET.yaml; baseline, shapes and prefix do with an address"
            )
        self.tell(f"starting a copy of {self.case.deployment}: {change.label}")
        async with started(self.file, self.case.deployment, change, self.doing) as copy:
            self.settings[change.label] = fingerprint(copy.file, self.case.deployment)
            self.tell(f"ready after {copy.started:.1f} s")
            yield copy

    @asynccontextmanager
    async def endpoint(self) -> AsyncIterator[Endpoint]:
        """Give the standing endpoint, else a copy that changes nothing."""
        if self.standing is None:
            async with self.copy() as copy:
                yield copy.endpoint
            return
        self.settings[AS_IT_IS.label] = (
            fingerprint(self.file, self.case.deployment)
            if self.file
            else endpoint_fingerprint(self.case.model)
        )
        yield self.standing

    async def measure(self, where: Endpoint, asks: Sequence[Ask], load: Load, name: str) -> Run:
        """Send the asks and keep the run in a folder named `name`."""
        self.tell(f"measuring {name}: {len(asks)} requests")
        run = await measure(_target(where), asks, load, self._progress)
        run.about.name = name
        run.about.slo = self.case.slo
        self.keep(run)
        return run

    def keep(self, run: Run) -> None:
        """Keep a run in a folder of its own."""
        raise NotImplementedError

    def _progress(self, now: Progress) -> None:
        self.doing(
            f"{now.ended} answered, {now.running} in flight, {now.failed} failed,"
            f" {now.seconds:.0f} s"
        )


def _target(where: Endpoint) -> Target:
    pages = tuple(
        Page(url=url, source=source, engine=where.engine, version=where.version)
        for source, url in where.pages.items()
    )
    return Target(address=where.address, model=where.model, key=where.key, scrape=pages)
