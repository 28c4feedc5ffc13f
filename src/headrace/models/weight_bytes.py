"""What a model's weights take in memory, exact from its files or by formula for a quantization.

`look_up.py` decides which of both; `capacity` splits the bytes over accelerators.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from headrace.models.architecture import Architecture
from headrace.models.errors import UnknownError
from headrace.models.tensorfile import Tensor


@dataclass(frozen=True)
class Weights:
    """Bytes of the whole model in an engine's memory, before it is split over accelerators.

    `active` is what one token's computation reads: for a mixture of experts less than `total`.
    `scheme` is the quantization (`bf16`, `fp8`, …), `basis` says where the bytes are from.
    """

    total: int
    active: int
    scheme: str
    exact: bool
    basis: str


@dataclass(frozen=True)
class Scheme:
    """`bits` for each value of what is quantized, scales included; 16 bits for the rest."""

    bits: Fraction
    part: Literal["all", "matrices", "experts"] = "matrices"


def _gguf(bits: str) -> Scheme:
    return Scheme(Fraction(bits), "all")


SCHEMES: Mapping[str, Scheme] = {
    "fp32": Scheme(Fraction(32), "all"),
    "bf16": Scheme(Fraction(16), "all"),
    "fp16": Scheme(Fraction(16), "all"),
    "fp8": Scheme(8 + Fraction(32, 128 * 128)),  # one fp32 scale for a block of 128 x 128
    "int8": Scheme(Fraction(8)),  # one scale for each output channel: some 0.01 %, left out
    "awq": Scheme(4 + Fraction(16 + 4, 128)),  # an fp16 scale and a 4-bit zero for 128 values
    "gptq": Scheme(4 + Fraction(16 + 4, 128)),
    "w4a16": Scheme(4 + Fraction(16, 128)),  # symmetric: no zeros
    "mxfp4": Scheme(4 + Fraction(8, 32), "experts"),  # OCP MX: an 8-bit scale for 32 values
    "nvfp4": Scheme(4 + Fraction(8, 16)),
    "bnb-nf4": Scheme(4 + Fraction(8, 64) + Fraction(32, 64 * 256)),  # scales quantized in turn
    "bnb-int8": Scheme(Fraction(8)),
    # Bits for each weight as llama.cpp measured them with Llama-3.1-8B (tools/quantize/README.md);
    # Q4_0, Q4_1, Q5_0 and Q5_1 by their blocks, with the output matrix in Q6_K.
    "q2_k": _gguf("3.1593"),
    "q3_k_s": _gguf("3.6429"),
    "q3_k_m": _gguf("4.0"),
    "q3_k_l": _gguf("4.2979"),
    "iq4_xs": _gguf("4.4597"),
    "q4_0": _gguf("4.64"),
    "q4_1": _gguf("5.11"),
    "q4_k_s": _gguf("4.6672"),
    "q4_k_m": _gguf("4.8944"),
    "q5_0": _gguf("5.57"),
    "q5_1": _gguf("6.04"),
    "q5_k_s": _gguf("5.5704"),
    "q5_k_m": _gguf("5.7036"),
    "q6_k": _gguf("6.5633"),
    "q8_0": _gguf("8.5008"),
}
_OF_DTYPE = {"bfloat16": "bf16", "float16": "fp16", "float32": "bf16"}
"""vLLM loads a float32 model as bfloat16 unless its `dtype` is set."""
_OTHER_NAMES = {
    "bitsandbytes": "bnb-nf4", "compressed-tensors": "int8", "w8a8": "int8",
    "awq_marlin": "awq", "gptq_marlin": "gptq",
}  # fmt: skip

_ROUTED = re.compile(r"\.experts\.|block_sparse_moe\.(input|output)_linear\.")
_AHEAD = re.compile(r"^mtp\.|^model\.mtp\.")
_LAYER = re.compile(r"^model\.layers\.(\d{1,9})\.")
_IDLE = re.compile(r"vision|visual\.|multi_modal_projector")


def weights_by_formula(architecture: Architecture, scheme: str | None = None) -> Weights:
    """Estimate the weights under a quantization; None is how the model itself is published.

    Within 0.1 % of published files for everything but GGUF, whose mixtures differ by some 2 %.
    """
    name, rule = find_scheme(scheme or stored_scheme(architecture))
    parts = architecture.parameters
    whole = {
        "all": parts.total,
        "matrices": parts.quantizable,
        "experts": parts.experts - parts.routers,
    }[rule.part]
    idle = (
        parts.experts - parts.active_experts if rule.part != "all" else parts.total - parts.active
    )
    total = _bytes(whole, rule, parts.total - whole)
    active = _bytes(whole - idle, rule, parts.active - (whole - idle))
    return Weights(total, active, name, exact=False, basis=f"formula for {name}")


def weights_from_tensors(tensors: Iterable[Tensor], architecture: Architecture) -> Weights:
    """Add up the tensors as an engine loads them: without layers that only guess tokens ahead.

    Values that an unquantized model stores in float32 take 2 bytes.
    """
    plain = architecture.quantization is None
    loaded = [one for one in tensors if _is_loaded(one.name, architecture)]
    sizes = [(one.name, one.bytes // (2 if plain and one.dtype == "F32" else 1)) for one in loaded]
    total = sum(size for _, size in sizes)
    idle = sum(size for name, size in sizes if _is_idle(name, architecture))
    if (experts := architecture.experts) is not None:
        routed = sum(size for name, size in sizes if _ROUTED.search(name))
        idle += routed * (experts.count - experts.active) // experts.count
    name = stored_scheme(architecture)
    return Weights(total, total - idle, name, exact=True, basis="headers of the safetensors files")


def stored_scheme(architecture: Architecture) -> str:
    """Return the scheme in which an engine loads the model, as its config.json says."""
    if architecture.quantization is not None:
        return architecture.quantization
    return _OF_DTYPE.get(architecture.dtype, "bf16")


def find_scheme(name: str) -> tuple[str, Scheme]:
    """Find a scheme by its name or an engine's; UnknownError names those near it."""
    key = name.strip().lower()
    key = _OTHER_NAMES.get(key, key)
    if key in SCHEMES:
        return key, SCHEMES[key]
    near = difflib.get_close_matches(key, SCHEMES, n=3)
    raise UnknownError(
        f"the quantization {name[:40]!r} is not known here; "
        + (f"perhaps {' or '.join(near)}? " if near else "")
        + f"known are {', '.join(SCHEMES)}"
    )


def _bytes(quantized: int, rule: Scheme, plain: int) -> int:
    return int(quantized * rule.bits / 8) + 2 * plain


def _is_loaded(name: str, architecture: Architecture) -> bool:
    layer = _LAYER.match(name)
    ahead = layer is not None and int(layer[1]) >= architecture.layers
    copy = name == "lm_head.weight" and not architecture.parameters.head  # tied: loaded once
    return not (ahead or copy or _AHEAD.match(name))


def _is_idle(name: str, architecture: Architecture) -> bool:
    """Whether decoding one token does not read it: an embedding's other rows, the eyes."""
    looked_up = "embed_tokens" in name and bool(architecture.parameters.head)
    return looked_up or _IDLE.search(name) is not None
