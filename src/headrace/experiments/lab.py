"""Where an experiment happens: it gives copies, sends load, keeps runs, and says what goes on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from headrace.bench.asks import Ask
from headrace.bench.run import Run
from headrace.experiments.case import Case
from headrace.experiments.change import AS_IT_IS, Change
from headrace.experiments.copies import Copy
from headrace.experiments.endpoint import Endpoint
from headrace.fleet.load import FleetFile


@dataclass
class Lab:
    """What experiments share; `folder` is where runs are kept, `tell` hears what goes on.

    `file` is the user's fleet file with nothing open, None for an endpoint of others; `standing` is
    an endpoint that serves already and is not changed: the running fleet, or that of others.
    """

    case: Case
    folder: Path
    tell: Callable[[str], None]
    file: FleetFile | None = None
    standing: Endpoint | None = None
    runs: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def copy(self, change: Change = AS_IT_IS) -> AsyncIterator[Copy]:
        """Start a copy of the deployment beside the fleet; it has ended when the block is left.

        ExperimentError without a fleet file, without room on this machine, or if it does not start.
        """
        raise NotImplementedError(change)
        yield

    @asynccontextmanager
    async def endpoint(self) -> AsyncIterator[Endpoint]:
        """Give the standing endpoint, else a copy as the file has it."""
        raise NotImplementedError
        yield

    async def measure(
        self, where: Endpoint, asks: Sequence[Ask], name: str, *, concurrency: int | None = None
    ) -> Run:
        """Send the load and keep the run in a folder named `name`.

        `concurrency` clients in a closed loop; None: each ask when it is due.
        """
        raise NotImplementedError
