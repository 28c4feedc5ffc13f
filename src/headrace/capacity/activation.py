"""What vLLM's profile run needs at its peak beside the weights: the part that moves with flags.

At start vLLM runs `max_num_batched_tokens` tokens through the model and then samples for
`max_num_seqs` requests; it keeps the peak free. Sampling is the peak more often than the layers:

* *layers*, for each token: 2 bytes for the gate, up and product of the feed-forward part (its
  width over the ranks) and for four vectors of the hidden size; two more between stages.
* *sampling*, for each request: the logits in 16 and 32 bits, probabilities and random numbers in
  32 bits, 14 bytes for each entry of the vocabulary, and 132 rows of scratch in 32 bits (one for
  each multiprocessor of an H100); up to 0.16 a full sort instead, 38 bytes for each entry. Ranks
  gather the logits, so nothing is divided. Beside it the hidden states of all tokens, and two for
  each request.
* *experts*, kept all the while: two work areas for all tokens times the experts of a token.
* 32 MiB that matrix products work in.

Where that is from: the code of vLLM 0.32, and the 49 start-up logs of vLLM 0.19 on an H100 that
llm-d-planner published (8,192 tokens, 1,024 requests). Those 1.89 GiB (Llama-3.1-8B), 2.21
(Qwen2.5-7B), 0.77 (CodeLlama-7B), 1.21 (Mixtral-8x7B, TP 2) and 2.68 (Qwen3-30B-A3B) come out
within 5 %, and so do 5.64 for Qwen3-14B before 0.17. The constants of 4.8 to 5.6 GiB that planners
still carry are of those days: 38 bytes * 1,024 requests * 128,000 to 152,000 entries.
"""

from __future__ import annotations

from headrace.capacity.setup import Setup

WIDTH = 2
"""Activations are 16 bits wide."""
LOGIT_BYTES = 14
SORTED_LOGIT_BYTES = 38
LEAST_LOGIT_BYTES = 6
"""Newer model runners sample in place while they profile: only the logits, twice."""
SCRATCH_ROWS = 132
WORKSPACE = 32 * 2**20
_GATED = 3
"""Matrices of a gated feed-forward part: gate, up and down."""


def layer_peak(setup: Setup) -> float:
    """Return the bytes that one layer needs for all tokens of a step, on one rank."""
    hidden, layout = setup.architecture.hidden, setup.layout
    vectors = 4 + (2 if layout.pipeline > 1 else 0)
    token = _GATED * _dense_width(setup) / layout.tensor + vectors * hidden
    return setup.max_num_batched_tokens * WIDTH * token + WORKSPACE


def sampling_peak(setup: Setup, logit_bytes: int = LOGIT_BYTES) -> float:
    """Return the bytes that sampling for all requests needs, on a rank of the last stage."""
    scratch = 0 if logit_bytes == SORTED_LOGIT_BYTES else SCRATCH_ROWS
    hidden, vocab = setup.architecture.hidden, setup.architecture.vocab
    requests = min(setup.max_num_seqs, setup.max_num_batched_tokens)
    kept = WIDTH * hidden * (setup.max_num_batched_tokens + 2 * requests)
    return vocab * (requests * logit_bytes + scratch * 4) + kept + WORKSPACE


def expert_workspace(setup: Setup) -> float:
    """Return the bytes that a mixture of experts works in, on one rank; 0 without experts."""
    experts = setup.architecture.experts
    if experts is None:
        return 0.0
    hidden, width = setup.architecture.hidden, _expert_width(setup) / setup.layout.tensor
    rows = setup.max_num_batched_tokens * experts.active * WIDTH
    return rows * (max(width, hidden) + max(2 * width, hidden))


def _dense_width(setup: Setup) -> float:
    """Return the mean width of the dense feed-forward parts."""
    one = _GATED * setup.architecture.hidden * setup.architecture.layers
    return setup.architecture.parameters.dense / one


def _expert_width(setup: Setup) -> float:
    """Return the width of one expert, from what a token leaves unused of them."""
    parameters, experts = setup.architecture.parameters, setup.architecture.experts
    idle = experts.count - experts.active if experts else 0
    one = _GATED * setup.architecture.hidden * setup.architecture.layers
    return (parameters.experts - parameters.active_experts) / (idle * one) if idle else 0.0
