"""Bytes of weights: formulas against published files, and headers added up as an engine loads them."""

from __future__ import annotations

import pytest

from headrace.models.catalogue import need_known_model
from headrace.models.errors import UnknownError
from headrace.models.read_architecture import read_architecture
from headrace.models.tensorfile import Tensor
from headrace.models.weight_bytes import (
    SCHEMES,
    find_scheme,
    weights_by_formula,
    weights_from_tensors,
)

GB = 10**9
EXACT, CLOSE, MIXTURE = 0.0, 0.001, 0.025


@pytest.mark.parametrize(
    ("name", "scheme", "published", "tolerance"),
    [
        # total_size of model.safetensors.index.json: the bytes of the tensors
        ("Llama-3.1-8B", "bf16", 16_060_522_496, EXACT),
        ("gpt-oss-20b", None, 13_761_264_768, EXACT),
        ("gpt-oss-120b", None, 65_248_815_744, EXACT),
        # Parameters times two, which the index of a bfloat16 model says
        ("Mixtral-8x22B-v0.1", None, 2 * 140_630_071_296, EXACT),
        ("Llama-3.1-405B", None, 2 * 405_853_388_800, EXACT),
        # Files of RedHatAI (neuralmagic)/Meta-Llama-3.1-8B-Instruct-FP8: 9,081,280,648 bytes
        ("Llama-3.1-8B", "fp8", 9_081_280_648, CLOSE),
        # hugging-quants/Meta-Llama-3.1-8B-Instruct-AWQ-INT4: about 5.73 GB in two files
        ("Llama-3.1-8B", "awq", 5.73 * GB, CLOSE),
        # unsloth/Meta-Llama-3.1-8B-Instruct-bnb-4bit: about 5.70 GB
        ("Llama-3.1-8B", "bnb-nf4", 5.70 * GB, CLOSE),
        # llama.cpp, tools/quantize/README.md: sizes of its own Q4_K_M files
        ("Llama-3.1-70B", "Q4_K_M", 43.1 * GB, MIXTURE),
        ("Llama-3.1-405B", "Q4_K_M", 249.1 * GB, MIXTURE),
        # ... and of Llama-3.1-8B, in GiB
        ("Llama-3.1-8B", "Q5_K_M", 5.33 * 2**30, MIXTURE),
        ("Llama-3.1-8B", "Q8_0", 7.95 * 2**30, MIXTURE),
        # bartowski/Meta-Llama-3.1-8B-Instruct-GGUF and a llama-bench of Qwen3-30B-A3B
        ("Llama-3.1-8B", "q4_k_m", 4_920_738_944, MIXTURE),
        ("Qwen3-30B-A3B", "q4_k_m", 18_556_686_912, MIXTURE),
        # TinyLlama-1.1B-chat-v1.0 Q4_0 and Q4_K_M, as llama.cpp reports the size of the tensors
        ("TinyLlama-1.1B", "q4_0", 635_990_016, MIXTURE),
        ("TinyLlama-1.1B", "q4_k_m", 667_078_656, MIXTURE),
    ],
)
def test_formulas_against_published_files(
    name: str, scheme: str | None, published: float, tolerance: float
) -> None:
    weights = weights_by_formula(need_known_model(name), scheme)
    assert weights.total == pytest.approx(published, rel=tolerance, abs=0)
    assert not weights.exact


def test_deepseek_v3_by_dtype_of_its_files() -> None:
    """The hub counts 680,571,043,840 FP8, 3,918,786,560 BF16 and 41,555,600 F32 values.

    With the MTP layer, which no engine loads by itself, written out here.
    """
    parts = need_known_model("DeepSeek-V3").parameters
    expert = 3 * 7168 * 2048
    attention = 7168 * 1536 + 1536 * 128 * 192 + 7168 * 576 + 512 * 128 * 256 + 128 * 128 * 7168
    mtp_fp8 = attention + 257 * expert
    mtp_bf16 = 2 * 129280 * 7168 + 256 * 7168 + 2 * 7168 * 7168  # embedding, head, router, joint
    mtp_bf16 += 2 * 7168 + 1536 + 512 + 3 * 7168  # norms
    correction = 58 * 256  # F32, part of the routers here
    assert parts.quantizable + mtp_fp8 == 680_571_043_840
    plain = parts.total - parts.quantizable - correction
    assert plain + mtp_bf16 == 3_918_786_560
    # 688,574,839,360 bytes of tensors in all; what the formula adds without MTP, and MTP
    mtp = mtp_fp8 + mtp_fp8 // 4096 + 2 * mtp_bf16
    total = 680_571_043_840 + 2 * 3_918_786_560 + 4 * 41_555_600
    formula = weights_by_formula(need_known_model("DeepSeek-V3"))
    assert formula.total + mtp == pytest.approx(total, rel=1e-6)
    assert formula.scheme == "fp8"


def test_active_bytes() -> None:
    dense = need_known_model("Llama-3.1-8B")
    # all but the embedding, of which one row is read
    assert weights_by_formula(dense).active == 16_060_522_496 - 2 * 128256 * 4096
    tied = need_known_model("SmolLM2-135M")
    assert weights_by_formula(tied).active == weights_by_formula(tied).total == 269_030_016
    moe = need_known_model("Mixtral-8x7B-v0.1")
    idle = 32 * 6 * 3 * 4096 * 14336  # 6 of 8 experts in 32 layers
    used = 46_702_792_704 - idle - 32000 * 4096
    assert weights_by_formula(moe).active == 2 * used
    gguf = weights_by_formula(moe, "q8_0")
    assert gguf.active == pytest.approx(used * 8.5008 / 8, rel=1e-6)


def test_four_bits_written_out() -> None:
    model = read_architecture(
        {
            "architectures": ["Qwen2ForCausalLM"],
            "hidden_size": 256,
            "intermediate_size": 512,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "vocab_size": 1000,
            "max_position_embeddings": 32,
        }
    )
    matrices = 4 * 256 * 256 + 3 * 256 * 512
    groups = matrices // 128
    plain = 2 * 1000 * 256 + 3 * 256 + 3 * 256  # embedding and head, three norms, biases of q, k, v
    gptq = weights_by_formula(model, "gptq")
    assert gptq.total == matrices // 2 + 2 * groups + groups // 2 + 2 * plain
    assert weights_by_formula(model, "fp32").total == 4 * (matrices + plain)


def test_names_of_schemes() -> None:
    assert find_scheme(" Q4_K_M ")[0] == "q4_k_m"
    assert find_scheme("bitsandbytes")[0] == "bnb-nf4"
    with pytest.raises(UnknownError, match="'q4_km' is not known here; perhaps q4_k_m"):
        find_scheme("q4_km")
    with pytest.raises(UnknownError, match="known are fp32, bf16"):
        find_scheme("?" * 1000)
    assert all(find_scheme(name)[0] == name for name in SCHEMES)


def _tensors(sizes: dict[str, int]) -> list[Tensor]:
    return [Tensor(name, "U8", (size,), 0, size) for name, size in sizes.items()]


def test_what_an_engine_loads_of_the_files() -> None:
    mixtral = need_known_model("Mixtral-8x7B-v0.1")  # 32 layers, 2 of 8 experts
    weights = weights_from_tensors(
        _tensors(
            {
                "model.embed_tokens.weight": 100,
                "lm_head.weight": 100,
                "model.layers.0.self_attn.q_proj.weight": 50,
                "model.layers.31.block_sparse_moe.experts.7.w1.weight": 800,
                "model.layers.31.block_sparse_moe.gate.weight": 8,
                "model.layers.32.enorm.weight": 1000,  # guesses tokens ahead
                "mtp.fc.weight": 1000,
            }
        ),
        mixtral,
    )
    assert (weights.total, weights.exact) == (1058, True)
    assert weights.active == 100 + 50 + 800 * 2 // 8 + 8
    assert weights.scheme == "bf16"


def test_a_tied_head_is_loaded_once_and_eyes_rest_while_text_is_made() -> None:
    gemma = need_known_model("gemma-3-27b-it")
    weights = weights_from_tensors(
        _tensors(
            {
                "model.embed_tokens.weight": 100,
                "lm_head.weight": 100,
                "vision_tower.vision_model.encoder.layers.0.fc1.weight": 30,
                "multi_modal_projector.mm_input_projection_weight": 5,
                "model.layers.61.mlp.up_proj.weight": 10,
            }
        ),
        gemma,
    )
    assert (weights.total, weights.active) == (145, 110)
