"""Bytes and operations of a model's layers on one accelerator, by the tokens of a step.

Counted from the architecture: two operations for each parameter and token in a matrix, `heads`
times two products for each (query, key) pair in attention. `roofline.py` divides by what the
accelerator can do. A pipeline changes nothing here: a step goes through all stages.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from headrace.capacity.setup import Setup
from headrace.hardware.accelerator import Accelerator, Precision
from headrace.models.architecture import Attention

COMPUTED_IN: dict[str, Precision] = {"fp32": "fp32", "fp8": "fp8", "int8": "int8", "nvfp4": "fp4"}
"""Schemes whose matrices are multiplied as stored; all others are unpacked to bf16 first."""

EMBEDDING_BYTES = 2
"""For each value: nearly all quantizations leave the embedding in 16 bits."""
MLA_PROMPT_SIZE = 192 + 128
"""Values of a key and of a value for each head while MLA reads a prompt, uncompressed: the same in
DeepSeek V2, V3 and Kimi K2 (128 + 64 for the rotary part, and 128)."""
MLA_VALUES = 512 / 576
"""Of MLA's compressed vector, the share that serves as value (all but the rotary part)."""
MIXED = 1.7
"""How much longer grouped queries of decoding sequences take in a step that also reads prompts:
FlashAttention 2 then reads a KV head again for its queries. The median of LLMServingSim's kernel
tables of an RTX 4090 and an RTX PRO 6000 (32 to 128 sequences, 400 to 2,100 tokens; 1.4 to 3.8).
FlashAttention 3 on Hopper should lose less, so there this errs on the safe side."""


def compute_rate(accelerator: Accelerator, scheme: str) -> float:
    """Return operations a second for matrices stored as `scheme`.

    Without hardware for it they are unpacked, and computed as bf16, or as fp32 where that is all
    there is.
    """
    compute = accelerator.compute
    for precision in (COMPUTED_IN.get(scheme, "bf16"), "bf16", "fp32"):
        if precision in compute:
            return compute[precision]
    raise ValueError(
        f"accelerator {accelerator.name} names no compute for bf16 or fp32; add one of them"
    )


@dataclass(frozen=True)
class MatrixCost:
    """Matrices on one of `tensor` accelerators: bytes that any token reads, and more for experts.

    A batch touches more experts than a token: of E experts of which a token takes k, n tokens
    touch E * (1 - (1 - k / E) ** n), if the router spreads them evenly.
    """

    always: float
    """Bytes that each step reads whatever its tokens are: all but routed experts."""
    expert: float
    """Bytes of one routed expert, over all layers."""
    experts: int
    chosen: int
    token_operations: float
    head_operations: float
    """For each token that is sampled; the tokens of a prompt but the last need none."""

    @classmethod
    def of(cls, setup: Setup) -> MatrixCost:
        """Return the share of one accelerator."""
        weights, architecture, ranks = setup.weights, setup.architecture, setup.layout.tensor
        parameters, experts = architecture.parameters, architecture.experts
        head = parameters.head or parameters.embedding
        count, chosen = (experts.count, experts.active) if experts else (1, 1)
        # What one token leaves unread: idle experts, and an embedding that has its own head.
        looked_up = EMBEDDING_BYTES * parameters.embedding if parameters.head else 0
        idle = max(weights.total - weights.active - looked_up, 0)
        expert = idle / (count - chosen) if count > chosen else 0.0
        return cls(
            always=(weights.active - chosen * expert) / ranks,
            expert=expert / ranks,
            experts=count,
            chosen=chosen,
            token_operations=2 * (parameters.active - head) / ranks,
            head_operations=2 * head / ranks,
        )

    def read(self, tokens: float) -> float:
        """Return the bytes that a step over `tokens` tokens reads."""
        if not self.expert:
            return self.always
        untouched: float = (1 - self.chosen / self.experts) ** max(tokens, 1)
        return self.always + self.experts * (1 - untouched) * self.expert

    def operations(self, tokens: float, sampled: float) -> float:
        """Return the operations of a step."""
        return tokens * self.token_operations + sampled * self.head_operations


@dataclass(frozen=True)
class _Layers:
    """Layers of one kind: bytes that a token in the context costs, operations for each pair."""

    bytes: float
    mixed: float
    """The same in a step that also reads prompts, in what reading it takes as long as."""
    operations: float
    prompt_operations: float
    window: float


@dataclass(frozen=True)
class AttentionCost:
    """Attention on one accelerator; a window counts with the mean context of the sequences.

    That is exact where all contexts are on one side of a window, and a little too much where
    they are on both.
    """

    layers: tuple[_Layers, ...]
    state: float
    """Bytes read and written for each sequence whatever its context is."""

    @classmethod
    def of(cls, setup: Setup) -> AttentionCost:
        """Return the share of one accelerator: KV heads are copied where they are too few."""
        kinds = setup.architecture.attention
        state = 2 * sum(one.layers * one.state_bytes for one in kinds) / setup.layout.tensor
        return cls(tuple(_reading(setup, kinds)), state)

    def read(self, sequences: float, context: float, *, mixed: bool = False) -> float:
        """Return the bytes read for a token of each sequence; `mixed`: with prompts in the step."""
        total = sequences * self.state
        for one in self.layers:
            total += (one.mixed if mixed else one.bytes) * min(context, sequences * one.window)
        return total

    def operations(self, sequences: float, context: float) -> float:
        """Return the operations for one token of each sequence."""
        total = 0.0
        for one in self.layers:
            total += one.operations * min(context, sequences * one.window)
        return total

    def prompt_operations(self, tokens: float, pairs: float) -> float:
        """Return the operations for `tokens` tokens of prompts with so many pairs."""
        total = 0.0
        for one in self.layers:
            total += one.prompt_operations * min(pairs, tokens * one.window)
        return total


def _reading(setup: Setup, kinds: Iterable[Attention]) -> Iterable[_Layers]:
    """Yield those kinds of layers whose cost grows with the context."""
    ranks = setup.layout.tensor
    heads = setup.architecture.heads / ranks
    for one in kinds:
        if one.kind == "state":
            continue
        mla = one.kind == "mla"
        kv_heads = one.kv_heads if mla else max(1, one.kv_heads // ranks)
        values = one.head_size * MLA_VALUES if mla else one.head_size_v
        prompt = MLA_PROMPT_SIZE if mla else one.head_size + one.head_size_v
        stored = one.layers * kv_heads * (one.head_size + one.head_size_v) * setup.kv_dtype_bytes
        grouped = kv_heads < heads and not mla and setup.accelerator.kind == "gpu"
        yield _Layers(
            bytes=stored,
            mixed=stored * (MIXED if grouped else 1),
            operations=one.layers * heads * 2 * (one.head_size + values),
            prompt_operations=one.layers * heads * 2 * prompt,
            window=one.window or float("inf"),
        )
