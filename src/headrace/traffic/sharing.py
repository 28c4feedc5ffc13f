"""Which beginnings requests of a trace share: the hashes of their prompts' blocks.

Traces that were published without texts have them instead (Mooncake, blocks of 512 tokens;
Qwen-Bailian, blocks of 16): equal numbers are equal blocks after equal beginnings, the last block
of a prompt may be a part of one. A prefix cache finds what the hashes say it finds, so a load made
of them (`bench/trace_prompts.py`) must keep them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Sharing:
    """Hashes of blocks of `block` tokens, all requests in a row; those of n end at `ends[n]`."""

    block: int
    hashes: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]

    def of(self, request: int) -> list[int]:
        """Return the hashes of one request's prompt, from its beginning."""
        first = int(self.ends[request - 1]) if request else 0
        return [int(one) for one in self.hashes[first : self.ends[request]]]

    def take(self, order: npt.NDArray[np.int64]) -> Sharing:
        """Return the hashes of some requests, in that order."""
        starts = np.concatenate([[0], self.ends[:-1]])
        parts = [self.hashes[starts[one] : self.ends[one]] for one in order]
        ends = np.cumsum([len(part) for part in parts], dtype=np.int64)
        return Sharing(self.block, np.concatenate(parts) if parts else self.hashes[:0], ends)
