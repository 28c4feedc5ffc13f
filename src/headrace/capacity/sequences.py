"""One request inside the modelled engine, and the set of those that decode.

All that decode advance together, so their state is kept as sums: `Decoding` steps them by any
number of steps in a time that does not depend on how many there are. `batching.py` drives it.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

from headrace.capacity.kv_pool import Pool


@dataclass(slots=True, eq=False)
class Sequence:
    """One request; `produced` are its tokens so far, `target` what must be read before the next.

    After a preemption its own answer has to be read again, so `target` has grown.
    """

    index: int
    prompt: int
    output: int
    produced: int = 0
    read: int = 0
    joined: int = 0
    """The step count at which it began to decode."""
    finish: int = 0
    """The step count at which it has all its tokens."""

    @property
    def target(self) -> int:
        """Tokens to read before it can decode."""
        return self.prompt + self.produced

    @property
    def final(self) -> int:
        """Tokens that it has at its end."""
        return self.prompt + self.output


@dataclass(slots=True)
class Decoding:
    """Sequences in the order of their admission, `steps` taken, and sums over them.

    A sequence that joined at step j with c tokens needs a block before step s if c + (s - j) is a
    multiple of the block, so `_due` counts them by (j - c) modulo the block.
    """

    pool: Pool
    steps: int = 0
    context: int = 0
    """Tokens in their KV caches together."""
    _members: dict[int, Sequence] = field(default_factory=dict)
    _ends: list[tuple[int, int]] = field(default_factory=list)
    _due: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self._due = [0] * self.pool.block

    def __len__(self) -> int:
        return len(self._members)

    def join(self, sequence: Sequence) -> None:
        """Let a sequence decode whose `target` tokens are read and whose next token is there."""
        sequence.joined = self.steps
        sequence.finish = self.steps + sequence.output - sequence.produced
        self._members[sequence.index] = sequence
        heapq.heappush(self._ends, (sequence.finish, sequence.index))
        self.context += sequence.read
        self._due[self._slot(sequence)] += 1

    def until_end(self) -> int:
        """Return the steps until the first sequence ends; there must be one."""
        while not self._current(self._ends[0]):
            heapq.heappop(self._ends)
        return self._ends[0][0] - self.steps

    def blocks_for(self, steps: int) -> int:
        """Return the blocks that the next `steps` steps take."""
        rounds, rest = divmod(steps, self.pool.block)
        start = self.steps % self.pool.block
        due = sum(self._due[start : start + rest])
        over = start + rest - self.pool.block
        if over > 0:
            due += sum(self._due[:over])
        return (rounds * len(self._members) + due) * self.pool.groups

    def advance(self, steps: int) -> list[Sequence]:
        """Take steps, no more than `until_end`; return those that ended with the last one."""
        self.steps += steps
        self.context += steps * len(self._members)
        ended = []
        while self._ends and self._ends[0][0] <= self.steps:
            end = heapq.heappop(self._ends)
            if self._current(end):
                ended.append(self._remove(self._members[end[1]]))
        return ended

    def drop_last(self) -> Sequence:
        """Take out the sequence that was admitted last, with the tokens it has."""
        return self._remove(next(reversed(self._members.values())))

    def _remove(self, sequence: Sequence) -> Sequence:
        del self._members[sequence.index]
        taken = self.steps - sequence.joined
        self._due[self._slot(sequence)] -= 1
        sequence.read += taken
        sequence.produced += taken
        self.context -= sequence.read
        return sequence

    def _slot(self, sequence: Sequence) -> int:
        return (sequence.joined - sequence.read) % self.pool.block

    def _current(self, end: tuple[int, int]) -> bool:
        """Say whether an entry of `_ends` still holds: a preemption leaves old ones behind."""
        sequence = self._members.get(end[1])
        return sequence is not None and sequence.finish == end[0]
