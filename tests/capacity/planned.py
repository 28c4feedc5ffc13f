"""Setups by hand, from data sheets and config.json files, so that no catalogue decides a test."""

from __future__ import annotations

from headrace.capacity.efficiency import Efficiency
from headrace.capacity.setup import Layout, Setup
from headrace.hardware.accelerator import Accelerator, Link
from headrace.models.architecture import Architecture, Attention, Experts, Parameters
from headrace.models.weight_bytes import Weights

PERFECT = Efficiency(1.0, 1.0, 0.0, 1.0, error=0.0, label="a data sheet")
EMBEDDING = 128_256 * 4096
LLAMA_8B = Architecture(
    "LlamaForCausalLM",
    (Attention("full", 32, 8, 128, 128),),
    hidden=4096,
    heads=32,
    vocab=128_256,
    context=131_072,
    dtype="bfloat16",
    parameters=Parameters(
        embedding=EMBEDDING,
        attention=32 * (2 * 4096 * 4096 + 2 * 4096 * 1024),
        dense=32 * 3 * 4096 * 14_336,
        experts=0,
        norms=65 * 4096,
        head=EMBEDDING,
        active_experts=0,
    ),
)
LLAMA_WEIGHTS = Weights(16_060_522_496, 16_060_522_496 - 2 * EMBEDDING, "bf16", True, "files")
MIXTRAL = Architecture(
    "MixtralForCausalLM",
    (Attention("full", 32, 8, 128, 128),),
    hidden=4096,
    heads=32,
    vocab=32_000,
    context=32_768,
    dtype="bfloat16",
    parameters=Parameters(
        embedding=32_000 * 4096,
        attention=32 * (2 * 4096 * 4096 + 2 * 4096 * 1024),
        dense=0,
        experts=32 * (8 * 3 * 4096 * 14_336 + 8 * 4096),
        norms=65 * 4096,
        head=32_000 * 4096,
        active_experts=32 * (2 * 3 * 4096 * 14_336 + 8 * 4096),
    ),
    experts=Experts(8, 2),
)
PCIE = Link("PCIe 4.0 x16", 32e9, latency=1e-5)
NETWORK = Link("100 Gb/s", 12.5e9, latency=2e-5)
RTX_4090 = Accelerator(
    "RTX 4090", 24 << 30, 1008e9, {"bf16": 165.2e12, "fp8": 330.3e12}, PCIE, NETWORK, 4, ()
)


def setup(  # noqa: PLR0917 - a test's own shorthand
    architecture: Architecture = LLAMA_8B,
    weights: Weights = LLAMA_WEIGHTS,
    accelerator: Accelerator = RTX_4090,
    layout: Layout = Layout(),  # noqa: B008 - frozen
    max_num_seqs: int = 256,
    max_num_batched_tokens: int = 2048,
) -> Setup:
    """Llama-3.1-8B on an RTX 4090, or something else in its place."""
    return Setup(
        architecture,
        weights,
        accelerator,
        layout,
        max_model_len=32_768,
        max_num_seqs=max_num_seqs,
        max_num_batched_tokens=max_num_batched_tokens,
    )
