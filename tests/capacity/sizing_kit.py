"""Models and accelerators for tests of memory and KV cache, written out from public config.json files."""

from __future__ import annotations

from dataclasses import replace

from headrace.capacity.setup import Layout, Setup
from headrace.hardware.accelerator import Accelerator, Link
from headrace.models.architecture import Architecture, Attention, Experts, Parameters
from headrace.models.weight_bytes import Weights

GIB = 2**30
MIB = 2**20


def full(layers: int, kv_heads: int, head_size: int) -> Attention:
    return Attention("full", layers, kv_heads, head_size, head_size)


def sliding(layers: int, kv_heads: int, head_size: int, window: int) -> Attention:
    return Attention("sliding", layers, kv_heads, head_size, head_size, window)


def state(layers: int, size: int) -> Attention:
    return Attention("state", layers, 0, 0, 0, state_bytes=size)


def mla(layers: int, size: int) -> Attention:
    return Attention("mla", layers, 1, size, 0)


def architecture(
    *attention: Attention,
    hidden: int = 4096,
    heads: int = 32,
    vocab: int = 128_256,
    context: int = 131_072,
    parameters: Parameters | None = None,
    experts: Experts | None = None,
) -> Architecture:
    return Architecture(
        name="TestForCausalLM",
        attention=attention,
        hidden=hidden,
        heads=heads,
        vocab=vocab,
        context=context,
        dtype="bfloat16",
        parameters=parameters or Parameters(0, 0, 0, 0, 0, 0, 0),
        experts=experts,
    )


def gpu(memory: int = 80 * GIB) -> Accelerator:
    link = Link("NVLink", 450e9)
    return Accelerator("GPU", memory, 3.35e12, {"bf16": 989e12}, link, link, 8, ("test",))


def cpu() -> Accelerator:
    return replace(gpu(16 * GIB), kind="cpu", name="CPU")


def setup(model: Architecture, *, tensor: int = 1, pipeline: int = 1, **flags: object) -> Setup:
    total = 2 * model.parameters.total
    weights = Weights(total, total, "bf16", exact=True, basis="two bytes for each parameter")
    made = Setup(model, weights, gpu(), Layout(tensor, pipeline))
    return replace(made, **flags)  # type: ignore[arg-type]


def dense(
    layers: int,
    hidden: int,
    width: int,
    *,
    heads: tuple[int, int],
    vocab: int,
    head_size: int = 128,
    context: int = 8192,
    tied: bool = False,
) -> Architecture:
    """A gated dense decoder without biases: Llama, Qwen3, Granite, Phi-3."""
    queries, kv_heads = heads
    attention = layers * hidden * head_size * (2 * queries + 2 * kv_heads)
    parameters = Parameters(
        embedding=vocab * hidden,
        attention=attention,
        dense=layers * 3 * hidden * width,
        experts=0,
        norms=(2 * layers + 1) * hidden,
        head=0 if tied else vocab * hidden,
        active_experts=0,
    )
    return architecture(
        full(layers, kv_heads, head_size),
        hidden=hidden,
        heads=queries,
        vocab=vocab,
        context=context,
        parameters=parameters,
    )


def sparse(
    layers: int,
    hidden: int,
    width: int,
    experts: Experts,
    vocab: int,
    *,
    shared: int = 0,
    context: int = 8192,
) -> Architecture:
    """Only experts of `width` in every layer, and `shared` wide shared ones."""
    one = 3 * hidden * width
    always = layers * (3 * hidden * shared + hidden * experts.count)
    parameters = Parameters(
        embedding=vocab * hidden,
        attention=layers * hidden * 128 * 72,
        dense=0,
        experts=layers * experts.count * one + always,
        norms=2 * layers * hidden,
        head=vocab * hidden,
        active_experts=layers * experts.active * one + always,
    )
    return architecture(
        full(layers, 4, 128),
        hidden=hidden,
        vocab=vocab,
        context=context,
        parameters=parameters,
        experts=experts,
    )


LLAMA_8B = dense(32, 4096, 14_336, heads=(32, 8), vocab=128_256, context=131_072)
SMOLLM2 = dense(30, 576, 1536, heads=(9, 3), vocab=49_152, head_size=64, tied=True)
GPT_OSS_20B = architecture(full(12, 8, 64), sliding(12, 8, 64, 128), vocab=201_088)
GEMMA_27B = architecture(full(10, 16, 128), sliding(52, 16, 128, 1024))
DEEPSEEK_V3 = architecture(mla(61, 576), context=163_840)
