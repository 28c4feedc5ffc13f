"""The catalogue against what is published of its models, and names as people write them."""

from __future__ import annotations

import json
from importlib import resources

import pytest

from headrace.models.architecture import Experts
from headrace.models.catalogue import (
    catalogue_names,
    known_model,
    need_known_model,
)
from headrace.models.errors import UnknownError

SIGLIP = (
    (3 * 14 * 14 * 1152 + 1152 + 64 * 64 * 1152)  # patches of 14 x 14, 64 x 64 places
    + 27 * (4 * (1152 * 1152 + 1152) + 2 * 1152 * 4304 + 4304 + 1152 + 4 * 1152)  # layers
    + 2 * 1152  # last norm
)

# Totals: the hub's `safetensors.total` of the repository (huggingface.co/api/models/NAME), for
# mxfp4 files, which count packed bytes, Ollama's `general.parameter_count` of the same model.
PUBLISHED = {
    "meta-llama/Llama-3.1-8B-Instruct": 8_030_261_248,
    "meta-llama/Llama-3.1-70B-Instruct": 70_553_706_496,
    "meta-llama/Llama-3.1-405B-Instruct": 405_853_388_800,
    "mistralai/Mixtral-8x7B-Instruct-v0.1": 46_702_792_704,
    "mistralai/Mixtral-8x22B-Instruct-v0.1": 140_630_071_296,
    "Qwen/Qwen3-32B": 32_762_123_264,
    "Qwen/Qwen3-30B-A3B": 30_532_122_624,
    "Qwen/Qwen3-30B-A3B-Instruct-2507": 30_532_122_624,
    "openai/gpt-oss-20b": 20_914_757_184,
    "openai/gpt-oss-120b": 116_829_156_672,
    "TinyLlama/TinyLlama-1.1B-Chat-v1.0": 1_100_048_384,
    "HuggingFaceTB/SmolLM2-135M-Instruct": 134_515_008,
    "HuggingFaceTB/SmolLM2-360M-Instruct": 361_821_120,
    "HuggingFaceTB/SmolLM2-1.7B-Instruct": 1_711_376_384,
    # 27,432,406,640 with its SigLIP vision tower and the projector
    "google/gemma-3-27b-it": 27_432_406_640 - SIGLIP - (1152 * 5376 + 1152),
    # README_WEIGHTS.md of the repository: 671B without the MTP layer; see test_weight_bytes.py
    "deepseek-ai/DeepSeek-V3": 671_026_419_200,
}


def test_parameters_are_the_published_ones() -> None:
    known = {name: known_model(name) for name in catalogue_names()}
    assert {name: model and model.parameters.total for name, model in known.items()} == PUBLISHED


# Billions, of the model cards. Some count the embedding as used, we do not: it is looked up.
@pytest.mark.parametrize(
    ("name", "active", "experts"),
    [
        ("Mixtral-8x7B-v0.1", 12.9, Experts(8, 2)),  # arXiv:2401.04088
        (
            "Mixtral-8x22B-v0.1",
            39,
            Experts(8, 2),
        ),  # mistral.ai/news/mixtral-8x22b; "2 x 22B = 44B" counts attention twice
        ("Qwen3-30B-A3B", 3.3, Experts(128, 8)),
        ("gpt-oss-20b", 3.6, Experts(32, 4)),
        ("gpt-oss-120b", 5.1, Experts(128, 4)),
        ("DeepSeek-V3", 37, Experts(256, 8, 1)),  # arXiv:2412.19437
    ],
)
def test_active_parameters_are_the_published_ones(
    name: str, active: float, experts: Experts
) -> None:
    model = known_model(name)
    assert model is not None
    assert model.experts == experts
    parts = model.parameters
    low, high = parts.active, parts.active + (parts.embedding if parts.head else 0)
    assert low / 1e9 - 0.06 <= active <= high / 1e9 + 0.06


def test_layers_that_surprise() -> None:
    gemma = need_known_model("gemma-3-27b-it")
    assert [(a.kind, a.layers, a.window, a.kv_heads, a.head_size) for a in gemma.attention] == [
        ("sliding", 52, 1024, 16, 128),
        ("full", 10, None, 16, 128),
    ]
    assert (gemma.multimodal, gemma.context) == (True, 131072)
    deepseek = need_known_model("DeepSeek-V3").attention
    assert [(a.kind, a.layers, a.kv_heads, a.head_size, a.head_size_v) for a in deepseek] == [
        ("mla", 61, 1, 576, 0)
    ]
    gpt = need_known_model("gpt-oss-20b").attention
    assert [(a.kind, a.layers, a.window, a.kv_heads, a.head_size) for a in gpt] == [
        ("sliding", 12, 128, 8, 64),
        ("full", 12, None, 8, 64),
    ]


@pytest.mark.parametrize(
    ("written", "name", "quantization"),
    [
        ("meta-llama/Llama-3.1-70B-Instruct", "Llama-3.1-70B", None),
        ("META-LLAMA/meta-llama-3.1-70b", "Llama-3.1-70B", None),
        ("llama-3.1-8b", "Llama-3.1-8B", None),
        ("hugging-quants/Meta-Llama-3.1-8B-Instruct-AWQ-INT4", "Llama-3.1-8B", "awq"),
        ("RedHatAI/Meta-Llama-3.1-8B-Instruct-FP8-dynamic", "Llama-3.1-8B", "fp8"),
        ("RedHatAI/Meta-Llama-3.1-70B-Instruct-quantized.w8a8", "Llama-3.1-70B", "int8"),
        ("RedHatAI/Meta-Llama-3.1-8B-Instruct-quantized.w4a16", "Llama-3.1-8B", "w4a16"),
        ("unsloth/Meta-Llama-3.1-8B-Instruct-bnb-4bit", "Llama-3.1-8B", "bnb-nf4"),
        ("Qwen/Qwen3-30B-A3B-GPTQ-Int4", "Qwen3-30B-A3B", "gptq"),
        ("some/Qwen3-32B-GPTQ-Int8", "Qwen3-32B", "int8"),
        ("openai/gpt-oss-20b", "gpt-oss-20b", "mxfp4"),
        ("unsloth/gpt-oss-20b-BF16", "gpt-oss-20b", None),
        ("deepseek-ai/DeepSeek-R1", "DeepSeek-V3", "fp8"),
        ("TheBloke/TinyLlama-1.1B-Chat-v1.0-GGUF", "TinyLlama-1.1B", None),
    ],
)
def test_names_as_people_write_them(written: str, name: str, quantization: str | None) -> None:
    found, plain = known_model(written), known_model(name)
    assert found is not None
    assert plain is not None
    assert found.parameters == plain.parameters
    assert found.quantization == quantization


@pytest.mark.parametrize(
    "name", ["", "/", "meta-llama/Meta-Llama-3-8B", "me/Llama-3.1-8B-Pirate", "Instruct", "awq"]
)
def test_another_model_is_not_taken_for_a_known_one(name: str) -> None:
    assert known_model(name) is None


def test_an_unknown_name_suggests_near_ones() -> None:
    with pytest.raises(UnknownError, match=r"near it are .*meta-llama/Llama-3\.1-70B-Instruct"):
        need_known_model("meta-llama/Llama-3.1-71B")
    with pytest.raises(UnknownError, match=r"it has .*gpt-oss-20b"):
        need_known_model("zzzz")


def test_every_entry_names_its_source() -> None:
    folder = resources.files("headrace.models") / "known_models"
    entries = [one for one in folder.iterdir() if one.name.endswith(".json")]
    assert len(entries) == len(catalogue_names())
    for entry in entries:
        assert json.loads(entry.read_text())["source"].startswith("https://huggingface.co/")
