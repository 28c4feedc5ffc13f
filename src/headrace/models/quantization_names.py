"""How a checkpoint says that it is quantized, in one word; `weight_bytes.py` knows its bytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_COMPRESSED = {("float", 8): "fp8", ("int", 8): "int8", ("int", 4): "w4a16", ("float", 4): "nvfp4"}


def quantization_name(config: Mapping[str, Any]) -> str | None:
    """Return the scheme of a `quantization_config`, its method's own name where that is unknown."""
    method = config.get("quant_method")
    if not isinstance(method, str):
        return None
    match method.lower():
        case "compressed-tensors":
            name = next(_compressed(config), method)
        case "modelopt" | "modelopt_fp4":
            name = "nvfp4" if "FP4" in str(config.get("quant_algo", method)).upper() else "fp8"
        case "gptq" if config.get("bits") == 8:  # noqa: PLR2004 - bits
            name = "int8"
        case "bitsandbytes":
            name = "bnb-nf4" if config.get("load_in_4bit") is True else "bnb-int8"
        case "fbgemm_fp8":
            name = "fp8"
        case other:
            name = other[:40]
    return name


def _compressed(config: Mapping[str, Any]) -> Iterator[str]:
    groups = config.get("config_groups")
    for group in groups.values() if isinstance(groups, dict) else ():
        weights = group.get("weights") if isinstance(group, dict) else None
        if isinstance(weights, dict):
            kind, bits = weights.get("type"), weights.get("num_bits")
            if isinstance(kind, str) and isinstance(bits, int) and (kind, bits) in _COMPRESSED:
                yield _COMPRESSED[kind, bits]
