"""Read an Architecture from a Hugging Face config.json.

The file says the sizes, the family says what its code adds (`families.py`). Which layers keep what
is in `layer_kinds.py`, the counts of parameters in `count_parameters.py`.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from headrace.models.architecture import Architecture
from headrace.models.config_keys import MOST, Keys
from headrace.models.count_parameters import count_parameters
from headrace.models.errors import FormatError, UnknownError
from headrace.models.families import FAMILIES, Family
from headrace.models.feed_forward import read_experts
from headrace.models.layer_kinds import attention_layers
from headrace.models.quantization_names import quantization_name

_PRESCALED = {"su", "longrope", "llama3", "yarn", "deepseek_yarn", "deepseek_llama_scaling"}
"""Ways of scaling positions that max_position_embeddings already counts in, as vLLM 0.32 reads."""


def read_architecture(config: Mapping[str, Any]) -> Architecture:
    """Return what a config.json says; FormatError names the key that is wrong.

    A family that is not known here is an UnknownError: its sizes may mean something else.
    """
    name = _name(config)
    outer, nested = Keys(config, {}), config.get("text_config")
    text = nested if isinstance(nested, dict) else config  # multimodal models nest their decoder
    family = _family(name, text.get("model_type") if text is nested else None)
    keys = Keys({**_inherited(config), **text}, family.defaults)
    return Architecture(
        name=name,
        attention=attention_layers(keys, family),
        hidden=keys.count("hidden_size"),
        heads=keys.count("num_attention_heads"),
        vocab=keys.count("vocab_size"),
        context=_context(keys, family),
        dtype=_dtype(keys),
        parameters=count_parameters(keys, family),
        experts=read_experts(keys, family),
        quantization=quantization_name(
            outer.object("quantization_config") or keys.object("quantization_config")
        ),
        multimodal=text is nested or isinstance(config.get("vision_config"), dict),
    )


def known_architectures() -> list[str]:
    """Return the names that are known under `architectures` in a config.json."""
    return sorted(name for family in FAMILIES.values() for name in family.architectures)


def _name(config: Mapping[str, Any]) -> str:
    names = config.get("architectures")
    if isinstance(names, list) and names and isinstance(names[0], str):
        return names[0]
    raise FormatError("config.json: architectures must name the model's class, as a list of one")


def _family(name: str, inner: object) -> Family:
    """Find by name, or by the nested decoder's model_type: many models only add eyes to a known."""
    for family in FAMILIES.values():
        if name in family.architectures:
            return family
    if isinstance(inner, str) and inner.removesuffix("_text") in FAMILIES:
        return FAMILIES[inner.removesuffix("_text")]
    raise UnknownError(_unknown(name))


def _unknown(name: str) -> str:
    known = known_architectures()
    near = difflib.get_close_matches(name, known, n=1)
    return (
        f"the architecture {name[:80]!r} is not known here"
        + (f" (is it like {near[0]}?)" if near else "")
        + f"; known are {', '.join(known)}. Set max_model_len, max_num_seqs and kv_cache "
        "by hand, or open an issue with the model's config.json"
    )


def _inherited(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what older multimodal files write outside and mean for the decoder."""
    keys = ("dtype", "torch_dtype", "tie_word_embeddings")
    return {key: config[key] for key in keys if key in config}


def _dtype(keys: Keys) -> str:
    for key in ("dtype", "torch_dtype"):
        if isinstance(value := keys.get(key), str):
            return value[:40]
    return "bfloat16"


def _context(keys: Keys, family: Family) -> int:
    most = keys.count("max_position_embeddings")
    rope = keys.object("rope_scaling") or keys.object("rope_parameters")
    kind, factor = rope.get("rope_type", rope.get("type")), rope.get("factor")
    if family.prescaled or kind in _PRESCALED or not isinstance(factor, int | float):
        return most
    if not 0 < factor * most <= MOST:
        raise FormatError(f"config.json: rope_scaling has the impossible factor {factor}")
    return int(factor * most)
