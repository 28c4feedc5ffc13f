"""config.json to Architecture: the layers that real models have, and files that say something odd.

Which layers keep what, and the parameters of the families that the catalogue does not have, are
those of the reference implementation (Hugging Face transformers 5.19, the configurations' defaults,
`sum(p.numel() for p in model.parameters())` on the meta device).
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from headrace.models.architecture import Architecture, Attention, Experts
from headrace.models.errors import FormatError, UnknownError
from headrace.models.read_architecture import known_architectures, read_architecture

LLAMA: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
    "torch_dtype": "bfloat16",
}
MISTRAL = LLAMA | {"architectures": ["MistralForCausalLM"], "sliding_window": 4096}
QWEN = LLAMA | {"architectures": ["Qwen3ForCausalLM"], "head_dim": 128, "sliding_window": 4096}
GEMMA3 = LLAMA | {"architectures": ["Gemma3ForCausalLM"], "head_dim": 128, "sliding_window": 512}
GPT_OSS = LLAMA | {
    "architectures": ["GptOssForCausalLM"],
    "num_local_experts": 32,
    "num_experts_per_tok": 4,
    "sliding_window": 128,
}
LLAMA4 = LLAMA | {
    "architectures": ["Llama4ForCausalLM"],
    "hidden_size": 5120,
    "intermediate_size": 8192,
    "intermediate_size_mlp": 16384,
    "num_hidden_layers": 48,
    "num_attention_heads": 40,
    "head_dim": 128,
    "vocab_size": 202048,
    "num_local_experts": 16,
    "num_experts_per_tok": 1,
    "attention_chunk_size": 8192,
}
JAMBA = LLAMA | {
    "architectures": ["JambaForCausalLM"],
    "vocab_size": 65536,
    "num_experts": 16,
    "num_experts_per_tok": 2,
    "expert_layer_period": 2,
    "expert_layer_offset": 1,
    "attn_layer_period": 8,
    "attn_layer_offset": 4,
    "mamba_d_state": 16,
    "mamba_d_conv": 4,
    "mamba_expand": 2,
}
QWEN3_NEXT = LLAMA | {
    "architectures": ["Qwen3NextForCausalLM"],
    "vocab_size": 151936,
    "hidden_size": 2048,
    "intermediate_size": 5632,
    "num_hidden_layers": 48,
    "num_attention_heads": 16,
    "num_key_value_heads": 2,
    "head_dim": 256,
    "linear_conv_kernel_dim": 4,
    "linear_key_head_dim": 128,
    "linear_value_head_dim": 128,
    "linear_num_key_heads": 16,
    "linear_num_value_heads": 32,
    "decoder_sparse_step": 1,
    "moe_intermediate_size": 512,
    "shared_expert_intermediate_size": 512,
    "num_experts_per_tok": 10,
    "num_experts": 512,
}
DEEPSEEK = LLAMA | {
    "architectures": ["DeepseekV3ForCausalLM"],
    "kv_lora_rank": 512,
    "q_lora_rank": 1536,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
}


def _layers(config: dict[str, Any], **changes: Any) -> list[tuple[str, int, int | None]]:
    config = {k: v for k, v in (config | changes).items() if v != "-"}
    return [(one.kind, one.layers, one.window) for one in read_architecture(config).attention]


@pytest.mark.parametrize(
    ("config", "changes", "layers"),
    [
        (LLAMA, {}, [("full", 32, None)]),
        (LLAMA, {"sliding_window": 4096}, [("full", 32, None)]),  # Llama's code has no window
        (MISTRAL, {}, [("sliding", 32, 4096)]),
        (MISTRAL, {"sliding_window": None}, [("full", 32, None)]),
        (MISTRAL, {"sliding_window": "-"}, [("full", 32, None)]),
        (QWEN, {}, [("full", 32, None)]),
        (QWEN, {"use_sliding_window": False, "max_window_layers": 20}, [("full", 32, None)]),
        (
            QWEN,
            {"use_sliding_window": True, "max_window_layers": 20},
            [("full", 20, None), ("sliding", 12, 4096)],
        ),
        (
            QWEN,
            {"use_sliding_window": False, "layer_types": ["sliding_attention"] * 32},
            [("full", 32, None)],
        ),
        (GEMMA3, {}, [("sliding", 27, 512), ("full", 5, None)]),  # layers 6, 12, 18, 24, 30
        (GEMMA3, {"sliding_window_pattern": 2}, [("sliding", 16, 512), ("full", 16, None)]),
        (
            LLAMA | {"architectures": ["Gemma2ForCausalLM"], "sliding_window": 4096},
            {},
            [("sliding", 16, 4096), ("full", 16, None)],
        ),
        (
            LLAMA | {"architectures": ["Cohere2ForCausalLM"], "sliding_window": 4096},
            {},
            [("sliding", 24, 4096), ("full", 8, None)],
        ),
        (GPT_OSS, {}, [("sliding", 16, 128), ("full", 16, None)]),
        (
            GPT_OSS,
            {"num_hidden_layers": 3, "layer_types": ["full_attention"] * 2 + ["sliding_attention"]},
            [("full", 2, None), ("sliding", 1, 128)],
        ),
        (LLAMA4, {}, [("chunked", 36, 8192), ("full", 12, None)]),
        (
            LLAMA4,
            {"no_rope_layers": [1] * 40 + [0] * 8},
            [("chunked", 40, 8192), ("full", 8, None)],
        ),
        (LLAMA4, {"attention_chunk_size": None}, [("full", 48, None)]),
        (JAMBA, {}, [("state", 28, None), ("full", 4, None)]),
        (QWEN3_NEXT, {}, [("state", 36, None), ("full", 12, None)]),
        (QWEN3_NEXT, {"full_attention_interval": 2}, [("state", 24, None), ("full", 24, None)]),
        (DEEPSEEK, {}, [("mla", 32, None)]),
    ],
)
def test_what_the_layers_keep(
    config: dict[str, Any], changes: dict[str, Any], layers: list[tuple[str, int, int | None]]
) -> None:
    assert _layers(config, **changes) == layers


def test_heads_of_each_way_of_attending() -> None:
    by_default = {k: v for k, v in LLAMA.items() if k != "num_key_value_heads"}
    assert read_architecture(by_default).attention == (Attention("full", 32, 32, 128, 128),)
    one = LLAMA | {"num_key_value_heads": 1, "head_dim": 256}  # MQA
    assert read_architecture(one).attention == (Attention("full", 32, 1, 256, 256),)
    # one head of 512 + 64 values for all, and no values of its own
    assert read_architecture(DEEPSEEK).attention == (Attention("mla", 32, 1, 576, 0),)


def test_bytes_of_a_state() -> None:
    # Jamba: 8192 channels; 3 past inputs of the convolution and 16 states each, in bfloat16
    state = read_architecture(JAMBA).attention[0]
    assert (state.kv_heads, state.state_bytes) == (0, 2 * (8192 * 3 + 8192 * 16))
    # Qwen3-Next: 2 * 16 * 128 + 32 * 128 channels with 3 past inputs, 32 states of 128 x 128
    state = read_architecture(QWEN3_NEXT).attention[0]
    assert state.state_bytes == 2 * (8192 * 3 + 32 * 128 * 128)
    wide = read_architecture(QWEN3_NEXT | {"mamba_ssm_dtype": "float32"}).attention[0]
    assert wide.state_bytes == 2 * 8192 * 3 + 4 * 32 * 128 * 128


GRANITE_HYBRID = LLAMA | {
    "architectures": ["GraniteMoeHybridForCausalLM"],
    "vocab_size": 32000,
    "intermediate_size": 11008,
    "num_key_value_heads": 32,
    "num_local_experts": 8,
    "num_experts_per_tok": 2,
    "shared_intermediate_size": 1024,
    "mamba_n_heads": 128,
    "mamba_n_groups": 2,
    "mamba_d_state": 128,
    "mamba_d_conv": 4,
    "mamba_expand": 2,
    "layer_types": (["mamba"] * 5 + ["attention"]) * 5 + ["mamba"] * 2,
}


@pytest.mark.parametrize(
    ("config", "parameters"),
    [
        (LLAMA4, 107_769_861_120),
        (JAMBA, 51_570_323_328),
        (QWEN3_NEXT, 79_674_391_296),
        (GRANITE_HYBRID, 38_419_924_608),
    ],
)
def test_parameters_are_those_of_the_reference(config: dict[str, Any], parameters: int) -> None:
    assert read_architecture(config).parameters.total == parameters


def test_which_layers_have_experts() -> None:
    moe = LLAMA | {
        "architectures": ["Qwen3MoeForCausalLM"],
        "num_experts": 8,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 100,
    }
    one = 8 * 3 * 4096 * 100 + 8 * 4096  # experts and router
    assert read_architecture(moe).parameters.experts == 32 * one
    assert read_architecture(moe | {"decoder_sparse_step": 2}).parameters.experts == 16 * one
    odd = moe | {"decoder_sparse_step": 2, "num_hidden_layers": 3}
    assert read_architecture(odd).parameters.experts == one  # the second of three
    assert read_architecture(moe | {"mlp_only_layers": [0, 31]}).parameters.experts == 30 * one
    first = moe | {"first_k_dense_replace": 3}
    assert read_architecture(first).parameters.experts == 29 * one
    assert read_architecture(first).parameters.dense == 3 * 3 * 4096 * 14336
    assert read_architecture(moe).parameters.active_experts == 32 * (2 * 3 * 4096 * 100 + 8 * 4096)


def test_experts_that_every_token_uses() -> None:
    assert read_architecture(LLAMA4).experts == Experts(16, 1, 1)
    assert read_architecture(QWEN3_NEXT).experts == Experts(512, 10, 1)
    moe = {"n_routed_experts": 64, "num_experts_per_tok": 6, "n_shared_experts": 2}
    assert read_architecture(DEEPSEEK | moe | {"moe_intermediate_size": 1408}).experts == Experts(
        64, 6, 2
    )
    assert read_architecture(JAMBA | {"num_experts": 1}).experts is None  # a dense Jamba
    assert read_architecture(LLAMA).experts is None


def test_biases_and_tied_embeddings() -> None:
    plain = read_architecture(LLAMA).parameters
    biased = read_architecture(LLAMA | {"attention_bias": True}).parameters
    # queries 4096, keys and values 1024 each, output 4096, in 32 layers
    assert biased.attention - plain.attention == biased.biases == 32 * (4096 + 2 * 1024 + 4096)
    qwen2 = read_architecture(LLAMA | {"architectures": ["Qwen2ForCausalLM"]}).parameters
    assert qwen2.attention - plain.attention == 32 * (4096 + 2 * 1024)  # none at the output
    tied = read_architecture(LLAMA | {"tie_word_embeddings": True}).parameters
    assert (tied.head, plain.total - tied.total) == (0, 128256 * 4096)
    assert tied.active == plain.active


def test_a_multimodal_model_nests_its_decoder() -> None:
    inner = {k: v for k, v in LLAMA.items() if k not in ("architectures", "torch_dtype")}
    config = {
        "architectures": ["Mistral3ForConditionalGeneration"],
        "torch_dtype": "float16",
        "num_hidden_layers": 7,
        "text_config": inner | {"model_type": "mistral"},
        "vision_config": {},
    }
    model = read_architecture(config)
    assert (model.layers, model.multimodal, model.dtype) == (32, True, "float16")
    assert not read_architecture(LLAMA).multimodal


@pytest.mark.parametrize(
    ("rope", "context"),
    [
        (None, 131072),
        ({"rope_type": "llama3", "factor": 8.0}, 131072),
        ({"type": "yarn", "factor": 4.0}, 131072),
        ({"type": "linear", "factor": 2}, 262144),
        ({"rope_type": "dynamic", "factor": 1.5}, 196608),
    ],
)
def test_context_counts_scaling_as_the_engine_does(rope: Any, context: int) -> None:
    assert read_architecture(LLAMA | {"rope_scaling": rope}).context == context


@pytest.mark.parametrize(
    ("quantization", "name"),
    [
        (None, None),
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, "fp8"),
        ({"quant_method": "awq", "bits": 4, "group_size": 128}, "awq"),
        ({"quant_method": "gptq", "bits": 4}, "gptq"),
        ({"quant_method": "gptq", "bits": 8}, "int8"),
        ({"quant_method": "mxfp4"}, "mxfp4"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "bnb-nf4"),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "bnb-int8"),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, "nvfp4"),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": {"group_0": {"weights": {"num_bits": 8, "type": "float"}}},
            },
            "fp8",
        ),
        ({"quant_method": "of-tomorrow"}, "of-tomorrow"),
        ({"bits": 4}, None),
    ],
)
def test_how_it_says_that_it_is_quantized(quantization: Any, name: str | None) -> None:
    assert read_architecture(LLAMA | {"quantization_config": quantization}).quantization == name


def test_an_unknown_architecture_is_said_to_be_unknown() -> None:
    with pytest.raises(
        UnknownError, match=r"'Lama.*like LlamaForCausalLM.*GptOss.*max_model_len.*issue"
    ):
        read_architecture(LLAMA | {"architectures": ["LamaForCausalLM"]})
    with pytest.raises(UnknownError, match="layer_types names 'retention'"):
        read_architecture(LLAMA | {"layer_types": ["retention"] * 32})
    assert "DeepseekV3ForCausalLM" in known_architectures()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"num_hidden_layers": "-"}, "num_hidden_layers must be a number .* not nothing"),
        ({"num_hidden_layers": 0}, "num_hidden_layers"),
        ({"num_hidden_layers": 10**6}, "num_hidden_layers must be a number from 1 to 10,000"),
        ({"hidden_size": "8"}, "hidden_size must be a number .* not '8'"),
        ({"hidden_size": 10**30}, "hidden_size"),
        ({"num_attention_heads": True}, "num_attention_heads"),
        ({"num_attention_heads": 10**6}, "head_dim"),  # 4096 // 10**6 values a head
        ({"num_key_value_heads": 0}, "num_key_value_heads"),
        ({"tie_word_embeddings": 1}, "tie_word_embeddings must be true or false"),
        ({"layer_types": "full_attention"}, "layer_types must be a list"),
        ({"layer_types": ["full_attention"]}, "layer_types lists 1 layers.*says 32"),
        ({"layer_types": ["mamba"] * 32}, "state layers; LlamaForCausalLM has none"),
        ({"rope_scaling": {"type": "linear", "factor": 1e300}}, "impossible factor"),
        ({"rope_scaling": {"type": "linear", "factor": float("nan")}}, "impossible factor"),
        ({"rope_scaling": [1]}, "rope_scaling must be an object"),
        ({"quantization_config": "fp8"}, "quantization_config must be an object"),
        ({"architectures": []}, "architectures"),
        ({"architectures": ["GraniteMoeHybridForCausalLM"]}, "layer_types must list"),
        ({"architectures": ["DeepseekV3ForCausalLM"]}, "kv_lora_rank"),
        (
            {"architectures": ["MixtralForCausalLM"], "num_local_experts": 8, "num_experts_per_tok": 9},
            "num_experts_per_tok must be a number from 1 to 8",
        ),
    ],
)  # fmt: skip
def test_a_wrong_key_is_named(changes: dict[str, Any], says: str) -> None:
    config = {k: v for k, v in (LLAMA | changes).items() if v != "-"}
    with pytest.raises(FormatError, match=says):
        read_architecture(config)


_NUMBERS = st.integers() | st.integers(0, 40) | st.just(10**9)
_LEAVES = st.none() | st.booleans() | _NUMBERS | st.floats() | st.text(max_size=8)
_VALUES = st.recursive(
    _LEAVES | st.lists(_LEAVES, max_size=40),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
_SEEDS = [
    LLAMA,
    MISTRAL,
    QWEN,
    GEMMA3,
    GPT_OSS,
    LLAMA4,
    JAMBA,
    QWEN3_NEXT,
    DEEPSEEK,
    GRANITE_HYBRID,
]
_KEYS = sorted(
    {key for seed in _SEEDS for key in seed}
    | {
        "text_config", "vision_config", "quantization_config", "rope_scaling", "rope_parameters",
        "layer_types", "moe_layers", "mlp_only_layers", "no_rope_layers", "mamba_dt_rank",
        "attention_bias", "mlp_bias", "first_k_dense_replace", "n_shared_experts", "model_type",
    }
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(
    seed=st.sampled_from(_SEEDS),
    changes=st.dictionaries(st.sampled_from(_KEYS), _VALUES, max_size=4),
)
@example(seed=JAMBA, changes={"expert_layer_period": 0})
@example(seed=LLAMA, changes={"num_hidden_layers": 10_000, "vocab_size": 10**9})
@example(seed=LLAMA, changes={"text_config": {"model_type": ["mistral"]}})
@example(
    seed=LLAMA,
    changes={
        "quantization_config": {
            "quant_method": "compressed-tensors",
            "config_groups": {"a": {"weights": {"type": [], "num_bits": True}}},
        }
    },
)
def test_any_json_is_read_or_refused(seed: dict[str, Any], changes: dict[str, Any]) -> None:
    try:
        model = read_architecture(seed | changes)
    except FormatError:
        return
    assert isinstance(model, Architecture)
    assert model.layers >= 1
    assert model.parameters.active > 0
    assert model.parameters.total < 10**45
