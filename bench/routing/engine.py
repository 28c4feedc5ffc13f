"""An engine in virtual time: prompts are read one after the other, answers grow side by side.

While a prompt is read, each step takes `CHUNK` tokens of it and one token of every answer, as
vLLM's chunked prefill does; otherwise a step is a token of every answer. Between two events all
rates are constant, so that a request costs three events, not a thousand steps. The prefix cache is
vLLM's: blocks in the order of their last use, of one prompt the last ones first.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter, OrderedDict, deque
from dataclasses import dataclass, field

PREFILL = 16_000.0
"""Tokens a second: an 8B model on one large GPU."""
CHUNK = 2048
STEP, EACH, RESIDENT = 0.008, 0.0001, 4e-8
"""Seconds of a decoding step: the weights, each answer, each token in the KV cache."""
CACHE = 400_000
"""Tokens of KV cache."""
BLOCK = 512


@dataclass(slots=True, eq=False)
class Request:
    """Blocks of `BLOCK` tokens that begin the prompt; times in seconds, filled in as it runs."""

    arrives: float
    prompt: int
    output: int
    blocks: tuple[int, ...]
    conversation: int
    replica: int = -1
    hit: int = 0
    first: float = math.inf
    ended: float = math.inf


@dataclass(slots=True, eq=False)
class Engine:
    """One replica; call `advance` before anything else, and again at `next_event`."""

    number: int
    cache: int = CACHE
    now: float = 0.0
    waiting: deque[Request] = field(default_factory=deque)
    reading: Request | None = None
    left: float = 0.0
    """Tokens of the prompt that is being read."""
    spoken: float = 0.0
    """Tokens that an answer would have that began at time 0."""
    answers: list[tuple[float, int, Request]] = field(default_factory=list)
    resident: int = 0
    """Tokens in blocks that requests hold; what several hold counts once."""
    held: Counter[int] = field(default_factory=Counter)
    blocks: OrderedDict[int, None] = field(default_factory=OrderedDict)
    busy: float = 0.0
    count: int = 0

    def take(self, request: Request) -> None:
        """Put a request into the engine's own queue."""
        request.replica = self.number
        self.waiting.append(request)
        self._read_next()

    def _step(self) -> float:
        """Return the seconds that a token of every answer takes now."""
        base = STEP + EACH * len(self.answers) + RESIDENT * self.resident
        return base + CHUNK / PREFILL if self.reading is not None else base

    def next_event(self) -> float:
        """Return when the next answer begins or ends, if nothing comes before that."""
        step, at = self._step(), math.inf
        if self.reading is not None:
            at = self.now + self.left * step / CHUNK
        if self.answers:
            at = min(at, self.now + (self.answers[0][0] - self.spoken) * step)
        return at

    def advance(self, now: float) -> tuple[list[Request], list[Request]]:
        """Go on to `now`, at most the next event; return whose answers began, and ended."""
        step, passed = self._step(), now - self.now
        self.now = now
        began: list[Request] = []
        ended: list[Request] = []
        if self.reading is not None or self.answers:
            self.busy += passed
            self.spoken += passed / step
        if self.reading is not None:
            self.left -= passed * CHUNK / step
            if self.left < 1e-6 * CHUNK:
                began.append(self._begin())
        while self.answers and self.answers[0][0] <= self.spoken + 1e-6:
            ended.append(self._end())
        self._read_next()
        return began, ended

    def _begin(self) -> Request:
        request = self.reading
        assert request is not None  # noqa: S101  only called while one is read
        self.reading, request.first = None, self.now
        self._use(request)
        self.count += 1
        heapq.heappush(self.answers, (self.spoken + request.output, self.count, request))
        return request

    def _end(self) -> Request:
        request = heapq.heappop(self.answers)[2]
        request.ended = self.now
        self.resident -= request.prompt + request.output - len(request.blocks) * BLOCK
        for block in request.blocks:
            self.held[block] -= 1
            if not self.held[block]:
                del self.held[block]
                self.resident -= BLOCK
        self._use(request)
        return request

    def _read_next(self) -> None:
        if self.reading is not None or not self.waiting:
            return
        request = self.waiting[0]
        size = request.prompt + request.output
        size -= sum(BLOCK for block in request.blocks if block in self.held)
        if self.answers and self.resident + size > self.cache:
            return
        self.waiting.popleft()
        self.reading = request
        self.resident += size
        self.held.update(request.blocks)
        found = 0
        for block in request.blocks:
            if block not in self.blocks:
                break
            found += 1
        request.hit = min(found * BLOCK, request.prompt - 1)
        self.left = float(request.prompt - request.hit)

    def _use(self, request: Request) -> None:
        for block in reversed(request.blocks):
            self.blocks[block] = None
            self.blocks.move_to_end(block)
        while len(self.blocks) * BLOCK > self.cache:
            self.blocks.popitem(last=False)
