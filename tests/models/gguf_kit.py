"""A tiny Llama in GGUF, written by the format's own library, with known weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter, quantize
from numpy.typing import NDArray
from tokenizers import pre_tokenizers

Array = NDArray[np.float32]

LAYERS, HIDDEN, INNER, HEADS, KV_HEADS, HEAD_DIM = 2, 64, 96, 4, 2, 16
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
ALPHABET = sorted(pre_tokenizers.ByteLevel.alphabet())
MERGED = ["he", "hel", "Ġt", "12", "Ġ1", "ĠĠ"]
MERGES = ["h e", "he l", "Ġ t", "1 2", "Ġ 1", "Ġ Ġ"]
TOKENS = SPECIAL + ALPHABET + MERGED
VOCAB = len(TOKENS)


def llama_weights(seed: int = 0) -> dict[str, Array]:
    """Make the weights as Hugging Face names and orders them."""
    random = np.random.default_rng(seed)

    def new(*shape: int) -> Array:
        return random.standard_normal(shape).astype(np.float32)

    weights = {"model.embed_tokens.weight": new(VOCAB, HIDDEN), "model.norm.weight": new(HIDDEN)}
    for layer in range(LAYERS):
        at = f"model.layers.{layer}"
        weights |= {
            f"{at}.input_layernorm.weight": new(HIDDEN),
            f"{at}.post_attention_layernorm.weight": new(HIDDEN),
            f"{at}.self_attn.q_proj.weight": new(HEADS * HEAD_DIM, HIDDEN),
            f"{at}.self_attn.k_proj.weight": new(KV_HEADS * HEAD_DIM, HIDDEN),
            f"{at}.self_attn.v_proj.weight": new(KV_HEADS * HEAD_DIM, HIDDEN),
            f"{at}.self_attn.o_proj.weight": new(HIDDEN, HEADS * HEAD_DIM),
            f"{at}.mlp.gate_proj.weight": new(INNER, HIDDEN),
            f"{at}.mlp.up_proj.weight": new(INNER, HIDDEN),
            f"{at}.mlp.down_proj.weight": new(HIDDEN, INNER),
        }
    return weights


def llamacpp_permute(weights: Array, heads: int) -> Array:
    """Order q and k rows as llama.cpp's convert_hf_to_gguf.py does (LlamaModel.permute)."""
    rows = weights.shape[0]
    return (
        weights.reshape(heads, 2, rows // heads // 2, *weights.shape[1:])
        .swapaxes(1, 2)
        .reshape(weights.shape)
    )


def write_gguf(
    path: Path,
    *,
    weights: dict[str, Array] | None = None,
    metadata: dict[str, Any] | None = None,
    quantized: frozenset[str] = frozenset(),
    drop: str = "",
    extra: dict[str, Array] | None = None,
) -> Path:
    """Write the model; `metadata` replaces keys (None leaves one out), `drop` omits a tensor."""
    writer = GGUFWriter(path, "llama")
    for key, value in {**_metadata(), **(metadata or {})}.items():
        _add(writer, key, value)
    for name, array in _gguf_tensors(weights or llama_weights()).items():
        if name == drop:
            continue
        if name in quantized:
            kind = GGMLQuantizationType.Q8_0
            writer.add_tensor(name, quantize(array, kind), raw_dtype=kind)
        else:
            writer.add_tensor(name, array)
    for name, array in (extra or {}).items():
        writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _metadata() -> dict[str, Any]:
    return {
        "llama.block_count": LAYERS,
        "llama.context_length": 256,
        "llama.embedding_length": HIDDEN,
        "llama.feed_forward_length": INNER,
        "llama.attention.head_count": HEADS,
        "llama.attention.head_count_kv": KV_HEADS,
        "llama.rope.freq_base": 100_000.0,
        "llama.rope.dimension_count": HEAD_DIM,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "llama.vocab_size": VOCAB,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "smollm",
        "tokenizer.ggml.tokens": TOKENS,
        "tokenizer.ggml.token_type": [3] * len(SPECIAL) + [1] * (VOCAB - len(SPECIAL)),
        "tokenizer.ggml.merges": MERGES,
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
        "tokenizer.ggml.padding_token_id": 2,
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.chat_template": "{{ messages }}",
    }


def _add(writer: GGUFWriter, key: str, value: Any) -> None:
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    elif value is not None:
        writer.add_array(key, value)


_PARTS = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
}


def _gguf_tensors(weights: dict[str, Array]) -> dict[str, Array]:
    found = {}
    for name, array in weights.items():
        stem = name.removesuffix(".weight")
        if stem.startswith("model.layers."):
            _, _, layer, part = stem.split(".", 3)
            new = f"blk.{layer}.{_PARTS[part]}.weight"
        else:
            new = f"{_PARTS[stem]}.weight"
        heads = {"attn_q": HEADS, "attn_k": KV_HEADS}.get(new.split(".")[-2])
        found[new] = llamacpp_permute(array, heads) if heads else array
    return found
