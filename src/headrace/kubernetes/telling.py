"""What is new since the last look at a fleet that starts, as events: one line for each step."""

from __future__ import annotations

import sys

from headrace.kubernetes import pods
from headrace.kubernetes.phases import start_of
from headrace.kubernetes.picture import Picture
from headrace.kubernetes.resource import Object
from headrace.kubernetes.status import reasons, state_of
from headrace.kubernetes.waiting import waits_for
from headrace.view.events import Emit, Kind, event
from headrace.view.states import State

_KINDS: dict[State, Kind] = {
    State.READY: "ready",
    State.WRONG: "wrong",
    State.CRASHED: "crashed",
    State.DRAINING: "stopping",
}


class Telling:
    """Tells each phase, state and reason of a Pod once."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._phases: dict[str, int] = {}
        self._states: dict[str, State] = {}
        self._reasons: dict[str, str] = {}
        self._blind: set[str] = set()
        self._first = True

    def tell(self, picture: Picture, clock: float) -> None:
        """Tell what is new in a picture."""
        for what, words in picture.blind.items():
            if what not in self._blind:
                self._blind.add(what)
                self._emit(event("note", "headrace", words))
        for pod in picture.pods():
            if self._first and state_of(pod, picture) == State.READY:
                self._states[pods.uid_of(pod)] = State.READY  # it was there before; nothing is new
                self._phases[pods.uid_of(pod)] = sys.maxsize
                continue
            self._phases_of(picture, pod, clock)
            self._state_of(picture, pod, clock)
        self._reasons_of(picture)
        self._first = False

    def _phases_of(self, picture: Picture, pod: Object, clock: float) -> None:
        uid = pods.uid_of(pod)
        start = start_of(pod, picture.marks.get(uid, []), clock)
        told = self._phases.get(uid, 0)
        for phase in start.done[told:]:
            self._emit(event("phase", pods.name_of(pod), phase.name, phase.seconds))
        self._phases[uid] = max(told, len(start.done))

    def _state_of(self, picture: Picture, pod: Object, clock: float) -> None:
        uid, state = pods.uid_of(pod), state_of(pod, picture)
        if self._states.get(uid) == state:
            return
        self._states[uid] = state
        kind = _KINDS.get(state)
        if kind is None:
            return
        words = waits_for(pod, picture.evidence(pod))
        ready = pods.since(pod, "Ready")
        seconds = (ready or clock) - pods.created(pod) if state == State.READY else None
        said = {State.READY: "after", State.DRAINING: "finishes what it has and ends"}
        self._emit(event(kind, pods.name_of(pod), said.get(state, words), seconds))
        self._reasons[pods.name_of(pod)] = words

    def _reasons_of(self, picture: Picture) -> None:
        now = dict(reasons(picture))
        for name, why in now.items():
            if self._reasons.get(name) != why:
                self._emit(event("note", name, f"waits: {why}"))
        self._reasons = now
