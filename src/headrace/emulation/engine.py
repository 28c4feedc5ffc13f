"""The twin's scheduler: slots, a queue in front of them, a pace, and an end that can come early.

A sequence is one answer under way; `wheel.py` wakes it for each token, and it hands what happened
to its `Sink`, which writes it in an engine's words (`openai.py`, `faces/`). `lifecycle.py` and the
faces tell the engine to drain or to cut.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import msgspec

from headrace.emulation.adapters import Adapters
from headrace.emulation.behaviour import Behaviour, Faults, Manner
from headrace.emulation.books import Books
from headrace.emulation.prefill import Prefills, Turn
from headrace.emulation.stopping import Shown
from headrace.emulation.text import WRONG, Writer, joined
from headrace.emulation.wheel import Wheel

Finish = Literal["stop", "length", "abort", "error"]
_DEAD = 137
_OUTCOMES: tuple[Manner, ...] = ("abort", "abort", "abort", "hang", "error")
"""How five streams ended when vLLM 0.32.0 was stopped without a shutdown timeout (measured)."""
_COUNTED = tuple(name for name in Faults.__struct_fields__ if name.endswith("_after"))


@dataclass(frozen=True)
class Wish:
    """One answer to be written: to the prompt's tokens, of at most `limit` tokens.

    `script` gives its tokens beforehand, as guided decoding would force them; `adapter` is a LoRA
    adapter's name.
    """

    prompt: list[int]
    limit: int
    ignore_eos: bool = False
    min_tokens: int = 0
    stops: tuple[str, ...] = ()
    keep_stop: bool = False
    script: tuple[int, ...] | None = None
    adapter: str = ""


class Sink(Protocol):
    """Where the steps of a sequence go."""

    def step(self, of: Sequence, token: int | None, text: str, finish: Finish | None) -> None:
        """Take a token and the text that it makes certain, or the end, or both."""
        ...

    def reset(self) -> None:
        """Break the connection."""
        ...

    def garbage(self) -> None:
        """Take bytes that mean nothing."""
        ...


class Sequence:
    """One answer; `stopped_by` is the stop string that ended it."""

    def __init__(self, engine: TwinEngine, wish: Wish, sink: Sink, index: int) -> None:
        prompt = joined(wish.prompt)
        self.wish, self.index = wish, index
        self.count = 0
        self.ended = False
        self.shown = Shown(prompt, wish.stops, keep=wish.keep_stop)
        self._engine, self._sink = engine, sink
        self._script = deque(wish.script) if wish.script is not None else None
        self._writer = Writer(prompt, accent=wish.adapter)
        self._tokens: list[int] = []
        self._computed = 0
        """Tokens of the answer that were in the prompt of the last prefill, after a preemption."""
        self._ignore = 0
        """Steps that come although it was preempted meanwhile."""
        self._turn: Turn | None = None
        self._arrived = time.monotonic()
        self._first = self._last = 0.0

    @property
    def stopped_by(self) -> str | None:
        """The stop string that ended it, if one did."""
        return self.shown.stopped_by

    @property
    def cached(self) -> int:
        """Tokens of its prompt that were cached."""
        lease = self._turn and self._turn.lease
        return lease.cached if lease else 0

    def due(self) -> None:
        """Take the next step: something that goes wrong, a token, or the end."""
        if self._ignore:
            self._ignore -= 1
            return
        if self.ended or (self._engine.troubled and self._trouble()):
            return
        token = self._token()
        if token is None:
            self.end("stop")
            return
        self._count()
        self._tokens.append(token)
        text = self.shown.push(token, stops=self.count > self.wish.min_tokens)
        finish: Finish | None = None
        if self.shown.stopped_by is not None:
            finish = "stop"
        elif self.count == self.wish.limit:
            finish = "length"
            text += self.shown.rest()
        if finish is None:
            self._sink.step(self, token, text, None)
            self._engine.next_token(self)
        else:
            self._leave(finish)
            self._sink.step(self, token, text, finish)

    def _token(self) -> int | None:
        if self._script is not None:
            return self._script.popleft() if self._script else None
        if self._engine.faults.wrong:
            return ord(WRONG)
        self._writer.endless = self.wish.ignore_eos or self.count < self.wish.min_tokens
        return self._writer.next()

    def _count(self) -> None:
        now, books = time.monotonic(), self._engine.books
        self.count += 1
        if self.count == 1:
            books.ttft.observe(now - self._arrived)
            self._first = now
        else:
            books.itl.observe(now - self._last)
        self._last = now
        books.generation_tokens += 1

    def _trouble(self) -> bool:
        """Do what a counted fault demands; return whether this step is over."""
        faults, count = self._engine.faults, self.count
        if faults.die_after == count:
            self._engine.exit(_DEAD)
        if faults.crash_after == count:
            self._engine.crash()
        elif faults.hang_after == count:
            pass
        elif faults.error_after == count:
            self.end("error")
        elif faults.abort_after == count:
            self.end("abort")
        elif faults.reset_after == count:
            self.leave()
            self._sink.reset()
        else:
            if faults.garbage_after == count:
                self._sink.garbage()
            return False
        return True

    def end(self, finish: Finish) -> None:
        """End now, and say so."""
        if not self.ended:
            self._leave(finish)
            self._sink.step(self, None, "" if finish == "error" else self.shown.rest(), finish)

    def leave(self) -> None:
        """End now, as an abort, without a word: nobody listens any more."""
        if not self.ended:
            self._leave("abort")

    def _leave(self, finish: Finish) -> None:
        self.ended = True
        self._engine.left(self, finish, time.monotonic() - self._arrived, self._last - self._first)

    def start(self, prefills: Prefills) -> None:
        """Begin with the prompt, now that there is a slot, and count the wait for it."""
        self._engine.books.queued.observe(time.monotonic() - self._arrived)
        wish, self._computed = self.wish, len(self._tokens)
        self._turn = prefills.begin([*wish.prompt, *self._tokens], wish.adapter, self._prefilled)

    def _prefilled(self) -> None:
        self._engine.first_token(self)

    def give_up(self, prefills: Prefills) -> None:
        """Leave the cache."""
        if self._turn is not None:
            prefills.leave(self._turn, self._tokens[self._computed :])

    @property
    def since(self) -> float:
        """When it came, in monotonic seconds."""
        return self._arrived

    def preempted(self, prefills: Prefills, *, waits_for_step: bool) -> None:
        """Leave the cache and begin anew later; a step that it waits for will mean nothing."""
        self.give_up(prefills)
        self._turn = None
        self._ignore += waits_for_step

    def kv_used(self, prefills: Prefills) -> int:
        """Return the tokens that it has in the KV cache outside of whole blocks."""
        lease = self._turn and self._turn.lease
        if not lease:
            return 0
        return len(self.wish.prompt) + self.count - prefills.cache.holds(lease)


class TwinEngine:
    """What the requests of one twin share; `exit` ends the process when a fault says so."""

    def __init__(self, behaviour: Behaviour, exit_: Callable[[int], object] = os._exit) -> None:
        self.behaviour = behaviour
        self.books = Books()
        self.exit = exit_
        self.draining = False
        """Newcomers get an empty abort."""
        self.dead = False
        """The worker is gone; newcomers get an error."""
        self.idle = asyncio.Event()
        """Set while no request runs or waits."""
        self.idle.set()
        self._wheel = Wheel()
        self._adapters = Adapters(behaviour.adapter_room)
        self._prefills = Prefills(behaviour, self._adapters, self._wheel, self.books)
        self._running: set[Sequence] = set()
        self._waiting: deque[Sequence] = deque()
        self._chance = random.Random(0)  # noqa: S311 - which way a cut goes is no secret
        self._obey(behaviour.faults)

    def _obey(self, faults: Faults) -> None:
        self.faults, self.troubled = faults, _counted(faults)
        self._prefills.slow = faults.slow

    def change(self, faults: Faults) -> None:
        """Obey these faults from now on."""
        self._obey(faults)
        if faults.crash:
            self.crash()

    def submit(self, wish: Wish, sink: Sink, index: int = 0) -> Sequence:
        """Begin an answer, at once or when a slot is free; its steps go to `sink`."""
        sequence = Sequence(self, wish, sink, index)
        self.books.arrived += 1
        self.books.prompt_tokens += len(wish.prompt)
        self.books.prompt_length.observe(len(wish.prompt))
        self.idle.clear()
        self._waiting.append(sequence)
        self.books.waiting += 1
        if self.dead:
            sequence.end("error")
        elif self.draining:
            sequence.end("abort")
        else:
            self._fill()
        return sequence

    def _fill(self) -> None:
        while len(self._running) < self.behaviour.slots:
            sequence = self._next_waiting()
            if sequence is None:
                return
            self._waiting.remove(sequence)
            self._running.add(sequence)
            self.books.waiting -= 1
            self.books.running += 1
            self._adapters.enter(sequence.wish.adapter)
            sequence.start(self._prefills)

    def _next_waiting(self) -> Sequence | None:
        """Return the first one whose adapter has room."""
        admits = self._adapters.admits
        found = next((one for one in self._waiting if admits(one.wish.adapter)), None)
        if found and self.faults.preempts and self._running:
            needs = len(found.wish.prompt) + found.count
            return found if self.kv_used() + needs <= self.behaviour.kv_tokens else None
        return found

    def first_token(self, sequence: Sequence) -> None:
        """Have the sequence woken for its first token, now that its prompt is computed."""
        self._wheel.after(self.behaviour.ttft * self.faults.slow, sequence)

    def next_token(self, sequence: Sequence) -> None:
        """Have the sequence woken for its next token, if there is room for it."""
        overfull = self.faults.preempts and self.kv_used() > self.behaviour.kv_tokens
        if overfull and self._preempt(sequence) is sequence:
            return
        crowd = self.faults.crowding * (len(self._running) - 1)
        self._wheel.after((self.behaviour.tpot + crowd) * self.faults.slow, sequence)

    def _preempt(self, stepping: Sequence) -> Sequence | None:
        """Take the youngest request that has begun to speak out of the batch, for later.

        All of these wait for a step but the one that is `stepping`. The last one goes on.
        """
        speaking = [one for one in self._running if one.count]
        if len(speaking) <= 1:
            return None
        youngest = max(speaking, key=lambda one: one.since)
        self._running.remove(youngest)
        self._waiting.appendleft(youngest)
        self._adapters.leave(youngest.wish.adapter)
        youngest.preempted(self._prefills, waits_for_step=youngest is not stepping)
        self.books.running -= 1
        self.books.waiting += 1
        self.books.preempted += 1
        return youngest

    def left(self, sequence: Sequence, finish: Finish, age: float, since_first: float) -> None:
        """Count the end of a sequence, `age` seconds old, and let the next one in."""
        if sequence in self._running:
            self._running.remove(sequence)
            self.books.running -= 1
            self._adapters.leave(sequence.wish.adapter)
            sequence.give_up(self._prefills)
        else:
            self._waiting.remove(sequence)
            self.books.waiting -= 1
        self.books.ended(finish, age, sequence.count, since_first)
        if not self.dead:
            self._fill()
        if not self.books.unfinished:
            self.idle.set()

    def cut(self, manner: Manner) -> None:
        """End every answer now, in this manner."""
        for sequence in (*self._running, *self._waiting):
            how = self._chance.choice(_OUTCOMES) if manner == "race" else manner
            if how == "hang":
                sequence.ended = True  # it stays in its slot and never speaks again
            else:
                sequence.end("error" if how == "error" else "abort")

    def crash(self) -> None:
        """Let the worker die: errors for all, and the process ends a while later."""
        if self.dead:
            return
        self.dead = True
        self.cut("error")
        asyncio.get_running_loop().call_later(self.faults.crash_exit, self.exit, 1)

    def kv_used(self) -> int:
        """Return the tokens that running requests have in the KV cache, shared ones once."""
        own = sum(one.kv_used(self._prefills) for one in self._running)
        return self._prefills.cache.held + own

    def adapters(self) -> tuple[list[str], list[str]]:
        """Return the adapters of requests that run, and of those that wait."""
        waiting = {one.wish.adapter: None for one in self._waiting if one.wish.adapter}
        return self._adapters.running, list(waiting)


def _counted(faults: Faults) -> bool:
    return any(value is not None for value in map(msgspec.structs.asdict(faults).get, _COUNTED))
