"""What a LoRA adapter is, read from a folder in the format of PEFT.

`pull.py` checks an adapter by this before it publishes it, as `config.py` checks a model; the rank
goes to the engine, which reserves room for it at its start.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from headrace.models.config import read_json
from headrace.models.errors import FormatError
from headrace.models.tensorfile import read_header

_CONFIG = "adapter_config.json"
_WEIGHTS = "adapter_model.safetensors"


def check_adapter(folder: Path) -> None:
    """Refuse a folder that an engine could not load; FormatError names the file."""
    adapter_rank(folder)
    if not (folder / _WEIGHTS).is_file():
        raise FormatError(f"there is no {_WEIGHTS}: save the adapter with PEFT, as safetensors")
    if not read_header(folder / _WEIGHTS):
        raise FormatError(f"{_WEIGHTS} holds no tensors")


def adapter_rank(folder: Path) -> int:
    """Return the largest rank of an adapter's matrices; FormatError names the file and the key."""
    if not (folder / _CONFIG).is_file():
        raise FormatError(f"there is no {_CONFIG}: a LoRA adapter is a folder as PEFT saves it")
    config = read_json(folder / _CONFIG)
    kind = config.get("peft_type")
    if kind != "LORA":
        raise FormatError(f"{_CONFIG}: peft_type must be LORA, not {kind!r}")
    own = config.get("rank_pattern") or {}
    if not isinstance(own, dict):
        raise FormatError(f"{_CONFIG}: rank_pattern must be an object, not {own!r}")
    return max([_rank("r", config.get("r")), *(_rank("rank_pattern", one) for one in own.values())])


def _rank(key: str, value: Any) -> int:
    if type(value) is not int or value < 1:
        raise FormatError(f"{_CONFIG}: {key} must be a positive number, not {value!r}")
    return value
