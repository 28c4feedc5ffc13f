"""A Pod's start as phases with their seconds, as `headrace up` shows a process's.

Kubernetes' part comes from the Pod's status: scheduled, volume, weights, image. The engine's part
comes from its log, whose lines its adapter knows: import, load, KV cache, warm-up. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from headrace.kubernetes import pods
from headrace.kubernetes.resource import Object
from headrace.kubernetes.times import stamped
from headrace.view.status import Phase

Mark = tuple[float, str]
"""When a phase began, and its name."""
READY = "ready"
_START = "start"
"""What an engine does whose log nobody can read."""


@dataclass(frozen=True)
class Start:
    """How far a start is; `now` is the phase that runs, empty for a Pod that is ready."""

    done: tuple[Phase, ...]
    now: str
    in_now: float


def start_of(pod: Object, logged: Sequence[Mark], clock: float) -> Start:
    """Return a Pod's start at a time; `logged` are the phases that its engine's log began."""
    marks = list(_marks(pod, logged))
    done = tuple(
        Phase(name, round(max(0.0, ends - began), 3))
        for (began, name), (ends, _) in pairwise(marks)
    )
    began, name = marks[-1]
    running = name != READY
    return Start(done, name if running else "", max(0.0, clock - began) if running else 0.0)


def _marks(pod: Object, logged: Sequence[Mark]) -> Iterable[Mark]:
    """Yield the beginnings of phases that have begun, in order."""
    yield pods.created(pod), "schedule"
    scheduled = pods.since(pod, "PodScheduled")
    if scheduled is None:
        return
    yield scheduled, "volume"
    sandbox = pods.since(pod, "PodReadyToStartContainers")
    weights = pods.container(pod, pods.WEIGHTS)
    engine = pods.started(pods.container(pod, pods.main_container(pod)))
    if sandbox is None and pods.started(weights) is None and engine is None:
        return
    yield sandbox or scheduled, "image"
    if (pulling := pods.started(weights)) is not None:
        yield pulling, "weights"
        if (over := pods.ended(weights)) is None:
            return
        yield over, "image"
    if engine is None:
        return
    yield from _engine(pod, engine, logged)


def _engine(pod: Object, began: float, logged: Sequence[Mark]) -> Iterable[Mark]:
    told = [(at, name) for at, name in logged if at >= began - 1]  # status has whole seconds
    if not told or told[0][0] > began:
        yield began, told[0][1] if told else _START
        told = told[1:]
    yield from told
    ready = pods.since(pod, "Ready")
    if ready is not None:
        yield max(ready, *(at for at, _ in told), began), READY


def logged_phases(lines: Iterable[str], phase: Callable[[str], str | None]) -> list[Mark]:
    """Return the phases that lines of a log with timestamps begin; a repeated one counts once."""
    found: list[Mark] = []
    for line in lines:
        at, text = stamped(line)
        name = phase(text)
        if at is not None and name and (not found or found[-1][1] != name):
            found.append((at, name))
    return found
