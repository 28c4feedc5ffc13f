"""Turn a GGUF file into an ordinary Hugging Face folder, for engines that load nothing else.

Weights are dequantized to bfloat16, a slab of rows at a time, so memory stays bounded whatever the
model's size. The result is checked against the file's own metadata: every tensor that the
architecture needs and no other, each of the shape that follows from layers, heads and widths. What
is not known here (an architecture, a pre-tokenizer, a way of scaling positions) is an error: a
model that answers a little wrongly is worse than none. `gguf_tokenizer.py` does the tokenizer.

The layout of the format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGUFReader, ReaderTensor, dequantize
from numpy.typing import NDArray

from headrace.models import tensorfile
from headrace.models.errors import FormatError
from headrace.models.gguf_metadata import Metadata
from headrace.models.gguf_tokenizer import tokenizer_files
from headrace.models.lock import LockedFile
from headrace.models.progress import Listener, Progress

CONVERTER = 1  # raise it when the same GGUF becomes other bytes: lock files remember it
_SLAB = 4 << 20  # values dequantized at once: 16 MiB as float32
_TOP = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


@dataclass(frozen=True)
class Shape:
    """The sizes of a Llama decoder, from which the shape of every tensor follows."""

    layers: int
    hidden: int
    inner: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    context: int
    tied: bool

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of every tensor by its GGUF name, rows first."""
        query, key = self.heads * self.head_dim, self.kv_heads * self.head_dim
        rows: dict[str, tuple[int, ...]] = {
            "attn_norm": (self.hidden,),
            "attn_q": (query, self.hidden),
            "attn_k": (key, self.hidden),
            "attn_v": (key, self.hidden),
            "attn_output": (self.hidden, query),
            "ffn_norm": (self.hidden,),
            "ffn_gate": (self.inner, self.hidden),
            "ffn_up": (self.inner, self.hidden),
            "ffn_down": (self.hidden, self.inner),
        }
        shapes = {
            "token_embd.weight": (self.vocab, self.hidden),
            "output_norm.weight": (self.hidden,),
        }
        if not self.tied:
            shapes["output.weight"] = (self.vocab, self.hidden)
        for layer in range(self.layers):
            shapes |= {f"blk.{layer}.{name}.weight": shape for name, shape in rows.items()}
        return shapes

    @property
    def parameters(self) -> int:
        """Return the number of weights."""
        return sum(math.prod(shape) for shape in self.tensors().values())


class _BoundedReader(GGUFReader):
    """The library's reader, which by itself would follow a false count beyond the file's end."""

    def _get(self, offset: int, dtype: Any, count: int = 1, override_order: Any = None) -> Any:
        end = int(offset) + np.dtype(dtype).itemsize * int(count)
        if end > len(self.data):
            raise ValueError(f"it ends at {len(self.data):,} and points to {end:,}")
        return super()._get(offset, dtype, count, override_order)


class Gguf:
    """An opened GGUF file of the Llama architecture, checked against its own metadata."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            reader = _BoundedReader(path)
        except (ValueError, KeyError, IndexError, TypeError, OverflowError, UnicodeDecodeError,
                MemoryError) as error:  # fmt: skip
            raise FormatError(f"{path.name} is not a whole GGUF file: {error}") from error
        self.metadata = Metadata(path.name, reader.fields)
        self.tensors: dict[str, ReaderTensor] = {tensor.name: tensor for tensor in reader.tensors}
        self.shape = _read_shape(self.metadata, tied="output.weight" not in self.tensors)
        self._check_tensors()

    @property
    def converted_bytes(self) -> int:
        """Return how many bytes the weights take as bfloat16."""
        return self.shape.parameters * 2

    def convert(self, folder: Path, progress: Listener) -> tuple[LockedFile, ...]:
        """Write the Hugging Face folder and return its files."""
        folder.mkdir(parents=True, exist_ok=True)
        texts = {
            "config.json": _config(self.metadata, self.shape),
            "generation_config.json": _special_ids(self.metadata),
            **tokenizer_files(self.metadata, self.shape.vocab, self.shape.context),
        }
        files = [_write_json(folder, name, value) for name, value in texts.items()]
        files.append(self._write_weights(folder / "model.safetensors", progress))
        return tuple(sorted(files, key=lambda file: file.path))

    def _check_tensors(self) -> None:
        if self.shape.layers > len(self.tensors):  # before listing what a false count asks for
            raise FormatError(
                f"{self.path.name} claims {self.shape.layers:,} layers and holds "
                f"{len(self.tensors)} tensors"
            )
        wanted = self.shape.tensors()
        if missing := sorted(set(wanted) - set(self.tensors)):
            raise FormatError(
                f"{self.path.name} lacks {len(missing)} tensors, such as {missing[0]}"
            )
        if unknown := sorted(set(self.tensors) - set(wanted)):
            raise FormatError(
                f"{self.path.name} holds tensors that the Llama architecture has not, such as "
                f"{unknown[0]}; this variant cannot be converted"
            )
        for name, shape in wanted.items():
            found = tuple(int(n) for n in reversed(self.tensors[name].shape))
            if found != shape:
                raise FormatError(
                    f"{self.path.name}: {name} is {found}, the metadata asks for {shape}"
                )
        count = self.metadata.integer("general.parameter_count", self.shape.parameters)
        if count != self.shape.parameters:
            raise FormatError(
                f"{self.path.name} claims {count:,} parameters and holds {self.shape.parameters:,}"
            )

    def _write_weights(self, path: Path, progress: Listener) -> LockedFile:
        names = {_hf_name(name): name for name in self.shape.tensors()}
        shapes = self.shape.tensors()
        placed = tensorfile.layout(((name, shapes[names[name]]) for name in sorted(names)), "BF16")
        header = tensorfile.encode(placed, {"format": "pt"})
        digest, done, total = hashlib.sha256(header), 0, placed[-1].end
        with path.open("wb") as file:
            file.write(header)
            for tensor in placed:
                for slab in self._slabs(names[tensor.name]):
                    digest.update(slab)
                    file.write(slab)
                    done += len(slab)
                    progress(Progress("convert", path.name, done, total))
            file.flush()
            os.fsync(file.fileno())
        return LockedFile(path.name, len(header) + done, digest.hexdigest())

    def _slabs(self, name: str) -> Iterator[bytes]:
        """Yield a tensor as bfloat16, some rows at a time, in Hugging Face's order of rows."""
        tensor = self.tensors[name]
        data = tensor.data.reshape(-1, tensor.data.shape[-1])
        head = self.shape.head_dim if name.endswith(("attn_q.weight", "attn_k.weight")) else 0
        step = max(1, _SLAB // int(tensor.shape[0]))
        step = max(head, step - step % head) if head else step
        for begin in range(0, len(data), step):
            values = dequantize(data[begin : begin + step], tensor.tensor_type)
            if not np.isfinite(values).all():
                raise FormatError(f"{self.path.name}: {name} holds values that are no numbers")
            ordered = unpermute(values, head) if head else values
            yield to_bfloat16(ordered).tobytes()


def to_bfloat16(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Round finite float32 values to bfloat16, to nearest and ties to even, as 16-bit patterns.

    bfloat16 is the upper half of a float32: adding 0x7fff, and one more if the lowest bit that
    stays is set, carries into the upper half exactly when the value has to be rounded up.
    """
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    odd = (bits >> np.uint32(16)) & np.uint32(1)
    return ((bits + np.uint32(0x7FFF) + odd) >> np.uint32(16)).astype("<u2")


def unpermute(rows: NDArray[np.float32], head_dim: int) -> NDArray[np.float32]:
    """Undo the order of rotary rows that llama.cpp's converter gives to q and k of Llama models.

    Within each head, GGUF interleaves the two halves of the rotation (0, d/2, 1, d/2+1, ...), and
    Hugging Face keeps them apart.
    """
    halves = rows.reshape(-1, head_dim // 2, 2, rows.shape[-1])
    return halves.swapaxes(1, 2).reshape(rows.shape)


def _read_shape(metadata: Metadata, *, tied: bool) -> Shape:
    architecture = metadata.text("general.architecture")
    if architecture != "llama":
        raise FormatError(
            f"{metadata.name} is of the architecture {architecture!r}; only llama can be "
            "converted, take the model's safetensors instead"
        )
    scaling = metadata.text("llama.rope.scaling.type", "none")
    if scaling != "none" or metadata.integer("llama.expert_count", 0):
        raise FormatError(f"{metadata.name}: scaled positions and experts cannot be converted")
    heads = metadata.count("llama.attention.head_count")
    hidden = metadata.count("llama.embedding_length")
    head_dim = metadata.count("llama.attention.key_length", hidden // heads)
    shape = Shape(
        layers=metadata.count("llama.block_count"),
        hidden=hidden,
        inner=metadata.count("llama.feed_forward_length"),
        heads=heads,
        kv_heads=metadata.count("llama.attention.head_count_kv", heads),
        head_dim=head_dim,
        vocab=metadata.count("llama.vocab_size", len(metadata.texts("tokenizer.ggml.tokens"))),
        context=metadata.count("llama.context_length"),
        tied=tied,
    )
    _check_heads(metadata, shape)
    return shape


def _check_heads(metadata: Metadata, shape: Shape) -> None:
    rotary = metadata.count("llama.rope.dimension_count", shape.head_dim)
    values = metadata.count("llama.attention.value_length", shape.head_dim)
    if rotary != shape.head_dim or values != shape.head_dim or shape.head_dim % 2:
        raise FormatError(
            f"{metadata.name}: heads of {shape.head_dim}, of which {rotary} are rotated, "
            f"with values of {values}, cannot be converted"
        )
    if shape.heads % shape.kv_heads:
        raise FormatError(
            f"{metadata.name}: {shape.heads} heads cannot share {shape.kv_heads} key-value heads"
        )


def _config(metadata: Metadata, shape: Shape) -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "hidden_size": shape.hidden,
        "intermediate_size": shape.inner,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_dim,
        "vocab_size": shape.vocab,
        "max_position_embeddings": shape.context,
        "rms_norm_eps": metadata.real("llama.attention.layer_norm_rms_epsilon"),
        "rope_theta": metadata.real("llama.rope.freq_base", 10_000.0),
        "rope_scaling": None,
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": shape.tied,
        "torch_dtype": "bfloat16",
        **_special_ids(metadata),
    }


def _special_ids(metadata: Metadata) -> dict[str, Any]:
    keys = {"bos_token_id": "bos", "eos_token_id": "eos", "pad_token_id": "padding"}
    ids = {key: metadata.token_id(name) for key, name in keys.items()}
    return {key: value for key, value in ids.items() if value is not None}


def _hf_name(name: str) -> str:
    if name in _TOP:
        return _TOP[name]
    _, layer, part, _ = name.split(".")
    return f"model.layers.{layer}.{_LAYER[part]}.weight"


def _write_json(folder: Path, name: str, value: dict[str, Any]) -> LockedFile:
    content = json.dumps(value, indent=1, ensure_ascii=False).encode() + b"\n"
    (folder / name).write_bytes(content)
    return LockedFile(name, len(content), hashlib.sha256(content).hexdigest())
