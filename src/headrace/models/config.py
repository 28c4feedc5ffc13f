"""What a model's Hugging Face folder holds: its config.json, and the headers of its weights.

`look_up.py` reads facts from them, `pull.py` uses the same reading as the last check before it
publishes a folder.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from headrace.models.errors import FormatError
from headrace.models.names import is_pickled
from headrace.models.tensorfile import Tensor, read_header

_MAX_JSON = 64 << 20  # bytes; tokenizers reach some 20 MB, configurations some kB


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
