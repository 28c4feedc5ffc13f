"""A twin's prefix cache, as vLLM's V1 keeps it: blocks of tokens, found by a chain of hashes.

A block's hash covers its tokens and all before it, and begins with the adapter, because an adapter
makes other keys and values from the same tokens. Blocks of running requests are held; the others
stay until their room is needed, the longest unused first and of one request the last block first
(`vllm/v1/core/kv_cache_manager.py`, 0.32.0). `prefill.py` asks here what need not be computed.

Running requests get their room in any case (a twin never preempts): what does not fit beside held
blocks is not kept.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

_TOKEN = array("H").itemsize
"""Bytes of a token id here; the twin's vocabulary is far smaller than 65 536."""


@dataclass(eq=False)
class Lease:
    """Blocks that one request holds; `cached` tokens of its prompt were there before it."""

    chain: int
    """Hash of everything up to `rest`."""
    rest: bytes
    """Token ids behind the last whole block."""
    cached: int = 0
    blocks: list[int] = field(default_factory=list)


class PrefixCache:
    """Room for `tokens`, in blocks of `size`; without `finds` no prompt is found in it."""

    def __init__(self, tokens: int, size: int = 16, *, finds: bool = True) -> None:
        self._size, self._width, self._finds = size, size * _TOKEN, finds
        self._room = tokens // size
        self._held: dict[int, int] = {}
        self._free: OrderedDict[int, None] = OrderedDict()

    @property
    def held(self) -> int:
        """Tokens in blocks that running requests hold, each block counted once."""
        return len(self._held) * self._size

    def holds(self, lease: Lease) -> int:
        """Return the tokens in the blocks of one request."""
        return len(lease.blocks) * self._size

    def take(self, seed: str, prompt: Sequence[int]) -> Lease:
        """Hold the cached beginning of a prompt, at most up to its last token.

        That one is always computed, because what follows it is wanted.
        """
        data = array("H", prompt).tobytes()
        lease = Lease(hash(seed), data)
        at = 0
        for _ in range((len(prompt) - 1) // self._size if self._finds else 0):
            block = hash((lease.chain, data[at : at + self._width]))
            if not self._hold(block, known=True):
                break
            lease.blocks.append(block)
            lease.chain = block
            at += self._width
        lease.cached, lease.rest = at // _TOKEN, data[at:]
        return lease

    def grow(self, lease: Lease, tokens: Iterable[int] = ()) -> None:
        """Keep what has been computed: the rest of the prompt, or generated tokens behind it."""
        data = lease.rest + array("H", tokens).tobytes()
        whole = len(data) // self._width * self._width
        for at in range(0, whole, self._width):
            lease.chain = hash((lease.chain, data[at : at + self._width]))
            if self._hold(lease.chain):
                lease.blocks.append(lease.chain)
        lease.rest = data[whole:]

    def give_back(self, lease: Lease) -> None:
        """Let the blocks be evicted when their room is needed."""
        for block in reversed(lease.blocks):
            self._held[block] -= 1
            if not self._held[block]:
                del self._held[block]
                self._free[block] = None
        lease.blocks.clear()

    def _hold(self, block: int, *, known: bool = False) -> bool:
        """Hold a block; return whether it is in the cache, for `known` without making room."""
        if block in self._held:
            self._held[block] += 1
            return True
        if block in self._free:
            del self._free[block]
        elif known or not self._make_room():
            return False
        self._held[block] = 1
        return True

    def _make_room(self) -> bool:
        if len(self._held) + len(self._free) < self._room:
            return True
        if not self._free:
            return False
        self._free.popitem(last=False)
        return True
