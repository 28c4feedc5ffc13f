"""How long one step of an engine takes: bytes over bandwidth and operations over compute.

A step runs the layers over a `Batch`: prompts being read and sequences that each get one token.
Matrices are read once for all of its tokens, the KV cache of each sequence for itself, so the time
is taken operator by operator (`layer_costs.py`): matrices, attention of sequences, attention of
prompts, then what accelerators tell each other (`communication.py`), then the engine's overhead.
What a data sheet promises is multiplied with an `Efficiency`; `batching.py` and `steady.py` build
their times from `Roofline.step`.
"""

from __future__ import annotations

from math import ceil, hypot
from typing import NamedTuple

from headrace.capacity.communication import Communication
from headrace.capacity.efficiency import Efficiency
from headrace.capacity.layer_costs import AttentionCost, MatrixCost, compute_rate
from headrace.capacity.setup import Setup


class Batch(NamedTuple):
    """What one step works on; tokens, and for `pairs` (query, key) pairs of prompt attention.

    A chunk of n prompt tokens after s earlier ones has n * s + n * (n + 1) / 2 pairs.
    """

    sequences: float = 0
    """Each of them gets one token."""
    context: float = 0
    """Tokens in their KV caches together."""
    prompt: float = 0
    pairs: float = 0


def chunk_pairs(tokens: float, before: float = 0) -> float:
    """Return the pairs of a chunk of a prompt that follows `before` earlier tokens."""
    return tokens * before + tokens * (tokens + 1) / 2


class Roofline:
    """Step times of one replica, in seconds.

    With a pipeline of s stages the batch is cut into up to s parts that follow each other, and
    one step is one round: every sequence has been through all stages. It takes as long as one
    part needs through the whole model; with fewer parts than stages the stages idle. A prompt is no
    sooner read for that: its tokens stay together, see `reading`.
    """

    def __init__(self, setup: Setup, efficiency: Efficiency) -> None:
        accelerator, layout = setup.accelerator, setup.layout
        self.stages = layout.pipeline
        self._chunk = setup.max_num_batched_tokens
        self._bandwidth = accelerator.bandwidth * efficiency.bandwidth
        rate = compute_rate(accelerator, setup.weights.scheme)
        self._compute = rate * efficiency.compute
        self._attention_compute = compute_rate(accelerator, "bf16") * efficiency.compute
        self._matrices = MatrixCost.of(setup)
        self._attention = AttentionCost.of(setup)
        self._communication = Communication.of(setup, efficiency.link)
        self._overhead = efficiency.overhead * self.stages
        self._per_sequence = efficiency.per_sequence

    def step(self, batch: Batch) -> float:
        """Return the seconds until each sequence of `batch` has its token."""
        parts = self._parts(batch.sequences, batch.prompt)
        part = Batch(*(amount / parts for amount in batch)) if parts > 1 else batch
        return self._part(part) + self._per_sequence * batch.sequences

    def reading(self, batch: Batch) -> float:
        """Return the seconds in which the one prompt of `batch` goes through the whole model.

        Its chunks follow each other through the stages; what decodes beside it is in all of them.
        """
        beside, stages = batch.sequences / self.stages, self.stages
        chunks = max(1, ceil(batch.prompt / max(self._chunk - beside, 1.0)))
        chunk = Batch(beside, batch.context / stages, batch.prompt / chunks, batch.pairs / chunks)
        one = self._part(chunk) + self._per_sequence * batch.sequences
        return one * (1 + (chunks - 1) / stages)

    def _part(self, batch: Batch) -> float:
        """Return the time of what goes through the stages together."""
        sequences, context, prompt, pairs = batch
        tokens = sequences + prompt
        return (
            self._matrix_time(tokens, sequences + (prompt > 0))
            + self._attention_time(sequences, context, mixed=prompt > 0)
            + self._attention.prompt_operations(prompt, pairs) / self._attention_compute
            + self._communication.seconds(tokens)
            + self._overhead
        )

    def _matrix_time(self, tokens: float, sampled: float) -> float:
        """Return the time of all matrices.

        Reading and computing overlap, but not fully where both take long: the square root of the
        sum of squares is within 7 % of LLMServingSim's kernel tables of an RTX 4090 and an RTX PRO
        6000 (feed-forward layers, 16 to 128 tokens), the larger of both up to 24 % short.
        """
        return hypot(
            self._matrices.read(tokens) / self._bandwidth,
            self._matrices.operations(tokens, sampled) / self._compute,
        )

    def _attention_time(self, sequences: float, context: float, *, mixed: bool) -> float:
        """Return the time of the attention of decoding sequences: reading or computing."""
        return max(
            self._attention.read(sequences, context, mixed=mixed) / self._bandwidth,
            self._attention.operations(sequences, context) / self._attention_compute,
        )

    def _parts(self, sequences: float, prompt: float) -> float:
        """Return how many parts of a batch are in the pipeline at once."""
        if self.stages == 1:
            return 1
        chunks = -(-prompt // self._chunk)
        return max(1, min(self.stages, sequences + chunks))
