"""What a model is, read from its Hugging Face folder without any framework.

The exact bytes of the weights come from the safetensors headers, everything else from config.json.
Memory checks use these facts, and `pull.py` uses the same reading as the last check before it
publishes a folder.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headrace.models.errors import FormatError
from headrace.models.names import is_pickled
from headrace.models.tensorfile import Tensor, read_header

_MAX_JSON = 64 << 20  # bytes; tokenizers reach some 20 MB, configurations some kB


@dataclass(frozen=True)
class ModelFacts:
    """Sizes of a decoder: counts, `context` in tokens, `weight_bytes` exact (disk and memory).

    `dtype` is the name in config.json (`bfloat16`), or the safetensors code of most bytes where it
    names none.
    """

    architecture: str
    dtype: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    context: int
    parameters: int
    weight_bytes: int


def read_facts(folder: Path) -> ModelFacts:
    """Read the facts of a model's folder; FormatError names the file and the key."""
    config = read_json(folder / "config.json")
    text = config.get("text_config")
    text = text if isinstance(text, dict) else config  # multimodal models nest their decoder
    tensors = read_tensors(folder)
    hidden, heads = _count(text, "hidden_size"), _count(text, "num_attention_heads")
    return ModelFacts(
        architecture=_architecture(config),
        dtype=_dtype(config, text, tensors),
        layers=_count(text, "num_hidden_layers"),
        hidden=hidden,
        heads=heads,
        kv_heads=_count(text, "num_key_value_heads", heads),
        head_dim=_count(text, "head_dim", hidden // heads),
        vocab=_count(text, "vocab_size"),
        context=_count(text, "max_position_embeddings"),
        parameters=sum(tensor.elements for tensor in tensors),
        weight_bytes=sum(tensor.end - tensor.begin for tensor in tensors),
    )


def check_folder(folder: Path) -> None:
    """Refuse a folder that an engine could not load: no configuration, missing or cut weights."""
    if not (folder / "config.json").is_file():
        raise FormatError(
            "there is no config.json: an engine needs the whole Hugging Face folder "
            "(config.json, tokenizer and weights), or one GGUF file"
        )
    read_json(folder / "config.json")
    if not any(is_pickled(path.name) for path in folder.iterdir()):
        read_tensors(folder)


def read_tensors(folder: Path) -> tuple[Tensor, ...]:
    """Read the headers of all weight files; with an index, exactly the files that it names."""
    index = folder / "model.safetensors.index.json"
    files = sorted(_shards(index) if index.is_file() else folder.glob("*.safetensors"))
    if not files:
        raise FormatError(f"{folder.name}: there are no *.safetensors files")
    return tuple(tensor for file in files for tensor in read_header(file))


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object of bounded size; FormatError names the file."""
    try:
        if path.stat().st_size > _MAX_JSON:
            raise FormatError(f"{path.name} is larger than {_MAX_JSON:,} bytes")
        value = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{path.name} is not JSON: {error}") from error
    except OSError as error:
        raise FormatError(f"{path.name}: {error.strerror or error}") from error
    if not isinstance(value, dict):
        raise FormatError(f"{path.name} holds no JSON object")
    return value


def _shards(index: Path) -> set[Path]:
    names = read_json(index).get("weight_map")
    if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
        raise FormatError(f"{index.name} has no weight_map from tensors to files")
    files = {index.parent / name for name in names.values() if "/" not in name}
    if missing := sorted(file.name for file in files if not file.is_file()):
        raise FormatError(f"{index.name} names files that are not there: {', '.join(missing[:5])}")
    return files


def _architecture(config: dict[str, Any]) -> str:
    names = config.get("architectures")
    if isinstance(names, list) and names and isinstance(names[0], str):
        return names[0]
    raise FormatError("config.json names no architectures")


def _dtype(config: dict[str, Any], text: dict[str, Any], tensors: tuple[Tensor, ...]) -> str:
    for part in (text, config):
        for key in ("dtype", "torch_dtype"):
            if isinstance(value := part.get(key), str):
                return value
    codes: Counter[str] = Counter()
    for tensor in tensors:
        codes[tensor.dtype] += tensor.end - tensor.begin
    return codes.most_common(1)[0][0]


def _count(config: dict[str, Any], key: str, default: int | None = None) -> int:
    value = config.get(key)
    if value is None and default is not None:
        return default
    if type(value) is not int or value < 1:
        raise FormatError(f"config.json: {key} must be a positive number, not {value!r}")
    return value
