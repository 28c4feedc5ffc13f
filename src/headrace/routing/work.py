"""How much work a request is, in tokens: what fair shares, waits and the choice of a replica count.

The gateway estimates it from the body (`gateway/prompt.py`) and what it learns from answers;
`choose.py` adds up what each replica has of it, `fair.py` what each caller got.
"""

from __future__ import annotations

from typing import NamedTuple

from headrace.routing.prefix import Prefix

OUTPUT = 4
"""What a token of the answer costs in tokens of prefill.

An 8B model in 16 bits on an H100: prefill is compute, 16 GFLOP a token at half of 990 TFLOP/s:
0.03 ms. A decoding step reads 16 GB of weights at 3.3 TB/s: 5 ms, and with the caches of 40
requests about 6 ms, so 0.15 ms for each of their tokens: 4 to 5 times as much. Smaller batches make
answers dearer, larger ones cheaper; prices of hosted models say 3 to 5 as well.
"""


class Work(NamedTuple):
    """One request: tokens of its prompt and, as expected, of its answer; marks on the prompt."""

    prompt: int
    output: int
    prefix: Prefix = ()

    def cost(self, cached: int = 0) -> int:
        """Return the work in tokens of prefill, when `cached` tokens of the prompt need none."""
        return max(0, self.prompt - cached) + OUTPUT * self.output
