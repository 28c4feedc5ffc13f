"""What each replica probably has in its KV cache, judged by what was sent to it.

An engine reuses the KV blocks of the longest prefix it has seen. A prompt is described by marks, at
the same places in all prompts that begin alike (`gateway/prompt.py` sets them). Each replica is
believed to keep the marks of what it got, up to the tokens of its cache and in the order in which
engines evict: longest unused first, and of one prompt its tail before its head. `choose.py` weighs
what is cached against what waits.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import compress
from typing import NamedTuple, TypeAlias

DEFAULT_CACHE = 100_000
"""Tokens believed to fit into a replica's KV cache when nobody says."""
MOST_MARKS = 4096
"""Marks kept for one replica, whatever its cache: about 1 MB."""
LEAST_TOKENS = 16
"""What a mark takes of a cache at least: engines cache whole blocks."""
LEAST_TOLD = 1024
"""Expectations of fewer tokens teach nothing: blocks and templates blur them."""
LEARNING = 0.05
LEAST_TRUST = 0.05
"""Some trust is left, so that it can be won back."""
ENOUGH = 24
"""So many replicas that have most of a prompt are a choice."""
_MANY = 24
"""More bits are found faster in a text of digits than one after the other."""
_DIGITS = bytes(max(0, byte - ord("0")) & 1 for byte in range(256))


class Mark(NamedTuple):
    """The prompt's first `tokens` tokens hash to `digest` (64 bits)."""

    digest: int
    tokens: int


Prefix: TypeAlias = tuple[Mark, ...]
"""A prompt's marks, ascending."""


@dataclass(slots=True)
class _Cache:
    """One replica: a `bit` in masks (`mask` has it alone), tokens, marks with their tokens.

    `written` are the tokens that came new so far.
    """

    bit: int
    mask: int
    room: int
    written: int
    used: int = 0
    marks: OrderedDict[int, int] = field(default_factory=OrderedDict)


class PrefixIndex:
    """Marks by replica id. A lookup costs about the same for one replica and for hundreds."""

    def __init__(self) -> None:
        self._holders: dict[int, int] = {}
        self._caches: dict[str, _Cache] = {}
        self._ids: list[str] = []
        self._by_bit: dict[int, str] = {}
        self._free: list[int] = []
        self.written: dict[str, int] = {}
        """Tokens that came new to each replica so far; a late one begins with the least.

        Whoever has the least keeps what it gets longest.
        """
        self.trust = 1.0
        """Tokens that engines reported as cached, of those that were expected to be."""

    def resize(self, replica: str, tokens: int | None) -> None:
        """Say how many tokens a replica's KV cache holds (None: nobody knows)."""
        cache = self._caches.get(replica) or self._add(replica)
        cache.room = DEFAULT_CACHE if tokens is None else tokens
        self._evict(cache)

    def cached(self, prefix: Prefix, those: Iterable[str] | None = None) -> dict[str, int]:
        """Return how many tokens of a prompt replicas probably have, by id, the most first.

        Who has none is absent. With `those`, others are left out once `ENOUGH` were found. Who has
        a mark has all before it, so that most marks need not be looked at.
        """
        holders, found = self._holders, dict[str, int]()
        left = holders.get(prefix[0].digest, 0) if prefix else 0
        if not left:
            return found
        longest = bisect_left(prefix, True, lo=1, key=lambda mark: mark.digest not in holders)
        for digest, tokens in reversed(prefix[:longest]):
            here = holders[digest] & left
            if here:
                left ^= here
                self._add_holders(found, here, int(tokens * self.trust))
                if those is not None and len(found) >= ENOUGH:
                    left, those = left & self._mask(those), None
                if not left:
                    break
        return found

    def note(self, replica: str, prefix: Prefix) -> None:
        """Take note that a replica got a prompt."""
        cache = self._caches.get(replica) or self._add(replica)
        marks, mask = cache.marks, cache.mask
        ends = [0, *(mark.tokens for mark in prefix)]
        for number in range(len(prefix) - 1, -1, -1):  # the head last: it is evicted last
            digest = prefix[number].digest
            if digest in marks:
                marks.move_to_end(digest)
                continue
            size = max(LEAST_TOKENS, ends[number + 1] - ends[number])
            marks[digest] = size
            cache.used += size
            cache.written += size
            self._holders[digest] = self._holders.get(digest, 0) | mask
        self.written[replica] = cache.written
        self._evict(cache)

    def learn(self, expected: int, reported: int) -> None:
        """Take note that an engine found so many tokens cached where `cached` expected others.

        With its cache off, or much smaller than we were told, affinity would only do harm.
        """
        believed = expected / self.trust
        if believed >= LEAST_TOLD:
            self.trust += LEARNING * (min(1.0, reported / believed) - self.trust)
            self.trust = max(LEAST_TRUST, self.trust)

    def forget(self, replica: str) -> None:
        """Forget a replica: its process ended, and its cache with it."""
        cache = self._caches.pop(replica, None)
        if cache is None:
            return
        del self.written[replica]
        for digest in cache.marks:
            self._drop(digest, cache.mask)
        self._free.append(cache.bit)

    def _mask(self, replicas: Iterable[str]) -> int:
        caches = self._caches
        return sum([caches[replica].mask for replica in replicas if replica in caches])

    def _add_holders(self, found: dict[str, int], mask: int, tokens: int) -> None:
        if mask.bit_count() > _MANY:
            digits = format(mask, "b")[::-1].encode().translate(_DIGITS)
            found.update(dict.fromkeys(compress(self._ids, digits), tokens))
            return
        while mask:
            lowest = mask & -mask
            found[self._by_bit[lowest]] = tokens
            mask ^= lowest

    def _add(self, replica: str) -> _Cache:
        if self._free:
            bit = self._free.pop()
            self._ids[bit] = replica
        else:
            bit = len(self._ids)
            self._ids.append(replica)
        mask = 1 << bit
        self._by_bit[mask] = replica
        written = min(self.written.values(), default=0)
        cache = self._caches[replica] = _Cache(bit, mask, DEFAULT_CACHE, written)
        self.written[replica] = written
        return cache

    def _evict(self, cache: _Cache) -> None:
        marks = cache.marks
        while cache.used > cache.room or len(marks) > MOST_MARKS:
            digest, size = marks.popitem(last=False)
            cache.used -= size
            self._drop(digest, cache.mask)

    def _drop(self, digest: int, mask: int) -> None:
        left = self._holders[digest] & ~mask
        if left:
            self._holders[digest] = left
        else:
            del self._holders[digest]
