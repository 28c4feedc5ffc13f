"""Where an experiment happens: it gives copies, sends load, keeps runs, and says what goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from headrace.bench.answers import Answer
from headrace.bench.asks import Ask
from headrace.bench.doubt import Doubt, Kind, Severity
from headrace.bench.engine_tokens import discover_for
from headrace.bench.folder import FolderError, Writer, write
from headrace.bench.load import Load, Progress
from headrace.bench.measure import measure
from headrace.bench.run import About, Run
from headrace.bench.scrape import Listing
from headrace.bench.summary import Summary, summarise
from headrace.bench.target import Target
from headrace.bench.tokens import Tokenizer
from headrace.bench.validity import judge
from headrace.bench.workload import build
from headrace.bench.workload_order import WorkloadOrder
from headrace.evidence.deployment import endpoint_fingerprint, fingerprint
from headrace.evidence.fingerprint import Fingerprint
from headrace.experiments.case import Case
from headrace.experiments.change import AS_IT_IS, Change
from headrace.experiments.copies import Copy, started
from headrace.experiments.errors import ExperimentError
from headrace.experiments.measured import Measured, measured
from headrace.experiments.predicted import Oracle
from headrace.experiments.room import busy, running
from headrace.fleet.load import FleetFile

_REFUSALS = (400, 422)
"""Statuses with which a field of a request is refused."""


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
    weights: Path | None = None
    """The folder of the model's weights, where they are pulled."""
    standing: Target | None = None
    listing: Listing | None = None
    """Says which metrics pages `standing` has by now; None: those that it began with."""
    runs: list[str] = field(default_factory=list)
    settings: dict[str, Fingerprint] = field(default_factory=dict)
    exact: bool = True
    """Whether answers can be asked for by their exact length."""
    beside: dict[str, None] = field(default_factory=dict)
    """Files of fleets that were up on the same machine when a copy was started."""
    _tokenizers: dict[str, Tokenizer] = field(default_factory=dict)
    _noted: set[str] = field(default_factory=set)

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
        self.beside.update(dict.fromkeys(busy(running())))
        self.tell(f"starting a copy of {self.case.deployment}: {change.label}")
        async with started(self.file, self.case.deployment, change, self.doing) as copy:
            self.settings[change.label] = fingerprint(copy.file, self.case.deployment)
            self.tell(f"ready after {copy.started:.1f} s")
            yield copy

    @asynccontextmanager
    async def endpoint(self) -> AsyncIterator[Target]:
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

    def folder_of_weights(self) -> Path:
        """Return the model's folder; ExperimentError where there is none, as of an address."""
        if self.weights is None:
            raise ExperimentError("this needs the model's weights, so it needs a fleet file")
        return self.weights

    async def asks(self, where: Target, order: WorkloadOrder) -> list[Ask]:
        """Return the requests of an order, of exact length by the tokenizer of who serves."""
        return await asyncio.to_thread(self._build, where, order)

    def oracle(self, asks: Sequence[Ask], copy: Copy | None = None) -> Oracle | None:
        """Return what predicts for these requests; None without a file or a plan of it."""
        file = copy.file if copy else self.file
        if file is None or any(one.prompt_tokens is None for one in asks):
            return None
        prompts = [one.prompt_tokens or 0 for one in asks]
        return Oracle.of(file, self.case.deployment, prompts, [one.max_tokens for one in asks])

    async def warm(self, where: Target, asks: Sequence[Ask]) -> None:
        """Send requests that nobody counts: the first ones after a start are slower.

        ExperimentError if none of them is answered: nothing could be measured then. An endpoint
        that refuses `ignore_eos` is not asked for it again.
        """
        self.doing(f"warming up with {len(asks)} requests")
        load = Load(concurrency=max(len(asks), 1), exact_length=True)
        failed = _failed(await self.send(where, asks, load))
        if self.exact and failed and failed[0].status in _REFUSALS:
            self.exact = False
            failed = _failed(await self.send(where, asks, load))
            if not failed:
                self.tell("answers end where the model ends them: ignore_eos is refused here")
        if failed:
            raise ExperimentError(_unanswered(where, failed))

    async def run(
        self, where: Target, asks: Sequence[Ask], load: Load, name: str
    ) -> tuple[Run, Measured]:
        """Send the asks, keep the run in a folder named `name`, and return it with its figures.

        Answers are kept as they come, so a run that is stopped leaves what there was.
        """
        self.tell(f"measuring {name}: {len(asks)} requests")
        about = About(name=name, address=where.address, model=where.model, began="")
        writer = Writer(self.folder / name, about)
        try:
            run = await self._measure(where, asks, load, writer)
        finally:
            writer.close()
        return run, self.kept(run, name)

    async def send(self, where: Target, asks: Sequence[Ask], load: Load) -> Run:
        """Send the asks and return what came of them, kept nowhere."""
        return await self._measure(where, asks, load)

    def kept(self, run: Run, name: str) -> Measured:
        """Keep a run in a folder named `name`, and return its figures; FolderError."""
        folder = self.folder / name
        run.about.name, run.about.slo = name, self.case.slo
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write(folder, run)
        except OSError as error:
            raise FolderError(f"{folder} cannot be written: {error.strerror}") from error
        self.runs.append(name)
        summary = summarise(run)
        return measured(summary, doubted(run, summary))

    async def _measure(
        self, where: Target, asks: Sequence[Ask], load: Load, keep: Writer | None = None
    ) -> Run:
        """Send the asks, beside looks at the replicas that there are then."""
        listing = self.listing if where is self.standing else None
        if listing is not None and (pages := await listing()) is not None:
            where = msgspec.structs.replace(where, scrape=tuple(pages))
        load = self._fitting(load)
        return await measure(where, asks, load, self._progress, keep=keep, listing=listing)

    def _build(self, where: Target, order: WorkloadOrder) -> list[Ask]:
        if where.address not in self._tokenizers:
            self._tokenizers[where.address] = discover_for(where, self.weights)
        notes: list[str] = []
        asks = build(order, self._tokenizers[where.address], notes)
        for note in notes:
            if note not in self._noted:
                self._noted.add(note)
                self.tell(note)
        return asks

    def _fitting(self, load: Load) -> Load:
        """Return the load without what the endpoint refuses."""
        return msgspec.structs.replace(load, exact_length=load.exact_length and self.exact)

    def _progress(self, now: Progress) -> None:
        self.doing(
            f"{now.ended} answered, {now.running} in flight, {now.failed} failed,"
            f" {now.seconds:.0f} s"
        )


def _failed(run: Run) -> list[Answer]:
    """Return the answers if not one of them is whole."""
    failed = [one for one in run.answers if one.failure is not None]
    return failed if len(failed) == len(run.answers) else []


def _unanswered(where: Target, failed: Sequence[Answer]) -> str:
    first = failed[0]
    status = f" {first.status}" if first.status else ""
    detail = f", {first.detail}" if first.detail else ""
    return (
        f"{where.address} answers none of {len(failed)} requests for '{where.model}':"
        f" {first.failure}{status}{detail}"
    )


def doubted(run: Run, summary: Summary) -> list[Doubt]:
    """Return why a run may not be believed, but for its few answers: repeats make up for these."""
    found = (one for one in judge(run, summary) if one.severity != Severity.NOTE)
    return [one for one in found if one.kind != Kind.FEW]
