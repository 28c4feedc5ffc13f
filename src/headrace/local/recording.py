"""Records every start of a replica on this machine, those that fail included.

`replicaset.py` says when one begins and how it ends, `prepare.py` what had to be there first; the
ledger keeps it (`start_writing.py`), and what it knows is told to clients that wait.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from headrace.hardware.page_cache import resident
from headrace.local.blueprint import Blueprint
from headrace.local.edition import Edition
from headrace.local.outcome import Outcome
from headrace.local.start_writing import Writing
from headrace.local.startup import Phases
from headrace.starts import ledger
from headrace.starts.figures import StartFigures, figures, lead
from headrace.starts.start import Start, in_order, utc
from headrace.starts.subjects import subject_in
from headrace.starts.summary import Subject, subject_of
from headrace.view.events import Emit, event
from headrace.view.status import Phase

_WEIGHTS = ("*.safetensors", "*.bin", "*.gguf", "*.pt")
_LONGEST_WHY = 300


@dataclass(frozen=True)
class Prepared:
    """What had to be there before the first replica: phases in seconds, whether it was fetched."""

    phases: Mapping[str, float] = field(default_factory=dict)
    fetched: bool = False


class Preparation:
    """Learns what `headrace up` had to do before its first replicas could start."""

    def __init__(self) -> None:
        self._weights: dict[str, tuple[float, bool]] = {}
        self._environment = 0.0

    def weights(self, key: str, seconds: float, fetched: bool) -> None:
        """Take note of one set of weights, by its key in the lock file."""
        self._weights[key] = (seconds, fetched)

    @contextmanager
    def environment(self) -> Iterator[None]:
        """Take the time of what makes the engines' environments."""
        began = time.monotonic()
        yield
        self._environment = time.monotonic() - began

    def of(self, edition: Edition) -> dict[str, Prepared]:
        """Return it by deployment; a twin needs nothing."""
        return {
            one.name: self._of(one.deployment.model)
            for one in edition.blueprints
            if one.hardware.kind != "emulated"
        }

    def _of(self, model: str) -> Prepared:
        seconds, fetched = self._weights.get(model, (0.0, False))
        phases = {"environment": round(self._environment, 3), "weights": round(seconds, 3)}
        return Prepared(phases, fetched)


class Opening:
    """A start that is under way; `ready` or `ended` closes it."""

    def __init__(self, start: Start, close: Callable[[Opening, Start], None]) -> None:
        self._start, self._close = start, close

    def ready(self, phases: Phases) -> None:
        """Keep it as a start that led to the right answer."""
        self._close(self, _with(self._start, phases.done))

    def ended(self, phases: Phases, outcome: Outcome) -> None:
        """Keep it as one that did not, with the phase in which it ended."""
        now = Phase(phases.name, phases.seconds)
        made = _with(self._start, [*phases.done, now] if now.name else phases.done)
        how = "stopped" if outcome.how == "stopped" else "failed"
        why = " ".join(outcome.words.split())[:_LONGEST_WHY]
        self._close(self, msgspec.structs.replace(made, outcome=how, ended_in=now.name, why=why))


def _with(start: Start, phases: Iterable[Phase]) -> Start:
    """Return a start with its engine's phases beside those of its preparation."""
    took: dict[str, float] = {}
    for phase in phases:
        took[phase.name] = round(took.get(phase.name, 0.0) + phase.seconds, 3)
    return msgspec.structs.replace(start, phases=in_order(dict(start.phases) | took))


class Recorder:
    """The starts of one fleet; `busy` says how many replicas have requests in flight.

    `emit` is told once if the file cannot be written.
    """

    def __init__(
        self,
        path: Path,
        known: ledger.Ledger | None = None,
        prepared: Mapping[str, Prepared] | None = None,
    ) -> None:
        self.busy: Callable[[], int] = lambda: 0
        self.emit: Emit = lambda _event: None
        self._path, self._writing = path, Writing(path, self._not_written)
        self._starts = list(known.starts if known else ())
        self._prepared = dict(prepared or {})
        self._open: set[Opening] = set()
        self._told = False
        self._figures: dict[Subject, tuple[StartFigures | None, float | None]] = {}

    def begin(self, blueprint: Blueprint, replica: str, *, restart: bool) -> Opening:
        """Return a start that begins now."""
        now = time.time()
        prepared = self._prepared.pop(blueprint.name, None)
        start = Start(
            id=f"{replica}@{now:.3f}",
            began=utc(now),
            outcome="ready",
            phases=dict(prepared.phases) if prepared else {},
            fetched=prepared.fetched if prepared else False,
            resident=resident(_weights(blueprint.model_path)),
            quick=blueprint.quick,
            beside=len(self._open),
            busy=self.busy(),
            restart=restart,
            **_subject(blueprint)._asdict(),
        )
        opening = Opening(start, self._ended)
        self._open.add(opening)
        return opening

    def figures(self, blueprint: Blueprint) -> StartFigures | None:
        """Return what starts of the deployment as it is now took, for the metrics."""
        return self._known(blueprint)[0]

    def lead(self, blueprint: Blueprint) -> float | None:
        """Return how long a start of it should take, in seconds, by the median of those known."""
        return self._known(blueprint)[1]

    def _known(self, blueprint: Blueprint) -> tuple[StartFigures | None, float | None]:
        subject = _subject(blueprint)
        if subject not in self._figures:
            took = lead(self._starts, subject)
            self._figures[subject] = figures(self._starts, subject), took.p50 if took else None
        return self._figures[subject]

    def _ended(self, opening: Opening, start: Start) -> None:
        if opening not in self._open:
            return
        self._open.discard(opening)
        self._starts.append(start)
        self._figures.pop(subject_of(start), None)
        self._writing.add(start)

    def _not_written(self, error: OSError) -> None:
        if not self._told:
            self._told = True
            self.emit(event("note", "starts", f"starts are not recorded: {self._path}: {error}"))

    async def flush(self) -> None:
        """Return when all that ended is in the ledger, or it was said that it cannot be."""
        await self._writing.flush()


def _subject(blueprint: Blueprint) -> Subject:
    return subject_in(
        *("local", blueprint.name, blueprint.deployment, blueprint.hardware), blueprint.digest
    )


def _weights(folder: Path) -> list[Path]:
    return [path for pattern in _WEIGHTS for path in folder.glob(pattern)]
