"""The INT8 variant of a folder, checked by the safetensors library and by arithmetic of its own."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf_kit import llama_weights
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from headrace.models import int8
from headrace.models.errors import DiskError, FormatError
from headrace.models.int8 import quantize, quantize_folder, row_scales
from headrace.models.look_up import read_folder
from headrace.models.store import MANIFEST

CONFIG = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
    "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 265,
    "max_position_embeddings": 256, "rms_norm_eps": 1e-5, "tie_word_embeddings": True,
    "torch_dtype": "float32",
}  # fmt: skip
MATRICES = 7 * 2
DOWN = "model.layers.0.mlp.down_proj.weight"


def write_model(folder: Path, *, shards: int = 1, **changes: Any) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({**CONFIG, **changes}))
    (folder / "tokenizer.json").write_text("{}")
    (folder / MANIFEST).write_text("{}")
    weights = llama_weights()
    if shards == 1:
        save_file(weights, folder / "model.safetensors")
        return folder
    names, places = sorted(weights), {}
    for shard in range(shards):
        file = f"model-{shard + 1:05}-of-{shards:05}.safetensors"
        part = {name: weights[name] for name in names[shard::shards]}
        save_file(part, folder / file)
        places |= dict.fromkeys(part, file)
    index = {"metadata": {"total_size": 1}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def test_every_weight_is_within_half_a_step_of_its_channel(tmp_path: Path) -> None:
    source, target = write_model(tmp_path / "m"), tmp_path / "m-int8"
    made = quantize_folder(source, target)
    before, after = load_file(source / "model.safetensors"), load_file(target / "model.safetensors")
    assert made.matrices == MATRICES
    for name, weights in before.items():
        if "proj" not in name:
            assert np.array_equal(after[name], weights), name
            continue
        scales, whole = after[name + "_scale"], after[name]
        assert (whole.dtype, scales.dtype) == (np.int8, np.float32)
        assert scales.shape == (len(weights), 1)
        assert np.allclose(scales[:, 0] * 127, np.abs(weights).max(axis=1), rtol=1e-6)
        error = np.abs(whole.astype(np.float64) * scales - weights)
        assert (error <= scales / 2 * (1 + 1e-5)).all(), name
        assert np.abs(whole).max(axis=1).min() == 127  # no channel wastes its range


def test_bytes_are_one_for_a_weight_and_four_for_a_channel(tmp_path: Path) -> None:
    made = quantize_folder(write_model(tmp_path / "m"), tmp_path / "t")
    rows = 2 * (64 + 32 + 32 + 64 + 96 + 96 + 64)
    values = 2 * (2 * 64 * 64 + 2 * 32 * 64 + 3 * 64 * 96)
    whole = 265 * 64 + 64 + 2 * 2 * 64
    assert made.bytes == values + 4 * rows + 4 * whole
    assert made.original == 4 * (values + whole)


def test_the_config_says_what_was_done_and_the_planner_reads_it(tmp_path: Path) -> None:
    quantize_folder(write_model(tmp_path / "m", tie_word_embeddings=True), tmp_path / "t")
    config = json.loads((tmp_path / "t" / "config.json").read_text())
    scheme = config.pop("quantization_config")
    assert config == CONFIG
    assert (scheme["quant_method"], scheme["format"]) == ("compressed-tensors", "int-quantized")
    assert scheme["ignore"] == ["lm_head", "model.embed_tokens"]
    (group,) = scheme["config_groups"].values()
    assert group["weights"]["strategy"] == "channel"
    assert group["input_activations"] == {
        "num_bits": 8, "type": "int", "symmetric": True, "strategy": "token", "dynamic": True,
    }  # fmt: skip
    assert read_folder(tmp_path / "t").weights.scheme == "int8"


def test_the_same_folder_gives_the_same_bytes_and_a_stores_manifest_stays_behind(
    tmp_path: Path,
) -> None:
    source = write_model(tmp_path / "m")
    for name in ("a", "b"):
        quantize_folder(source, tmp_path / name)
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert files == ["config.json", "model.safetensors", "tokenizer.json"]
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_shards_keep_their_names_and_the_index_names_the_scales(tmp_path: Path) -> None:
    quantize_folder(write_model(tmp_path / "m", shards=3), tmp_path / "t")
    index = json.loads((tmp_path / "t" / "model.safetensors.index.json").read_text())
    found: dict[str, str] = {}
    for file in sorted((tmp_path / "t").glob("*.safetensors")):
        found |= dict.fromkeys(load_file(file), file.name)
    assert index["weight_map"] == found
    assert sum(name.endswith("_scale") for name in found) == MATRICES
    assert index["metadata"]["total_size"] == sum(
        array.nbytes
        for file in set(found.values())
        for array in load_file(tmp_path / "t" / file).values()
    )


@pytest.mark.parametrize("dtype", ["BF16", "F16"])
def test_half_floats_are_read_exactly(dtype: str) -> None:
    exact = np.array([1.0, -2.5, 0.15625, 0.0, 255.0], np.float32)
    raw = (exact.view(np.uint32) >> 16).astype("<u2") if dtype == "BF16" else exact.astype("<f2")
    assert np.array_equal(int8._floats(raw.tobytes(), dtype), exact)


def test_a_matrix_larger_than_a_slab_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_model(tmp_path / "m")
    quantize_folder(source, tmp_path / "whole")
    monkeypatch.setattr(int8, "_SLAB", 500)  # 3 rows of 64 float32, then 2 of 96
    quantize_folder(source, tmp_path / "slabs")
    whole, slabs = (tmp_path / name / "model.safetensors" for name in ("whole", "slabs"))
    assert whole.read_bytes() == slabs.read_bytes()


@given(
    st.lists(
        st.lists(
            st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=3, max_size=3
        ),
        min_size=1,
    )
)
def test_any_finite_row_survives(rows: list[list[float]]) -> None:
    values = np.array(rows, np.float32)
    scales = row_scales(values)
    back = quantize(values, scales).astype(np.float64) * scales.astype(np.float64)[:, None]
    bound = scales.astype(np.float64)[:, None] * (0.5 + 1e-4)
    assert (np.abs(back - values) <= bound).all()


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ({"quantization_config": {"quant_method": "awq"}}, "quantized already"),
        ({"weights": {"model.layers.0.mlp.experts.0.up_proj.weight": np.ones((2, 2), np.float32)}}, "mixture of experts"),
        ({"weights": {"odd.weight": np.ones(2, np.int8)}}, "odd.weight is I8"),
        ({"weights": {DOWN: np.full((2, 2), np.nan, np.float32)}}, "no numbers"),
        ({"only": {"model.embed_tokens.weight": np.ones((2, 2), np.float32)}}, "none of the matrices"),
    ],
)  # fmt: skip
def test_what_cannot_be_quantized_is_said_and_leaves_nothing(
    tmp_path: Path, broken: dict[str, Any], words: str
) -> None:
    source = write_model(tmp_path / "m")
    weights = broken.pop("only", None) or {**llama_weights(), **broken.pop("weights", {})}
    save_file(weights, source / "model.safetensors")
    (source / "config.json").write_text(json.dumps({**CONFIG, **broken}))
    with pytest.raises(FormatError, match=words):
        quantize_folder(source, tmp_path / "t")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m"]


def test_eyes_stay_as_they_are(tmp_path: Path) -> None:
    source = write_model(tmp_path / "m")
    eyes = "vision_tower.layers.0.self_attn.q_proj.weight"
    save_file({**llama_weights(), eyes: np.ones((4, 4), np.float32)}, source / "model.safetensors")
    assert quantize_folder(source, tmp_path / "t").matrices == MATRICES
    config = json.loads((tmp_path / "t" / "config.json").read_text())
    assert eyes.removesuffix(".weight") in config["quantization_config"]["ignore"]


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    source = write_model(tmp_path / "m")
    monkeypatch.setattr(int8.os, "fsync", full)
    with pytest.raises(DiskError, match="is full"):
        quantize_folder(source, tmp_path / "t")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m"]


def test_what_is_there_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    with pytest.raises(DiskError, match="is there already"):
        quantize_folder(write_model(tmp_path / "m"), tmp_path / "t")
    assert not any((tmp_path / "t").iterdir())


FLEET = """
fleet: small
models: {{tiny: {{weights: "{weights}"}}}}
hardware: {{here: {{kind: cpu}}}}
deployments: {{tiny: {{model: tiny, hardware: here, kv_cache: 1GiB}}}}
routes: {{all: {{match: {{model: [tiny]}}, deployment: tiny}}}}
"""


def test_the_verb_makes_a_variant_that_a_fleet_locks_and_verifies(tmp_path: Path) -> None:
    def headrace(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "headrace", "weights", *arguments],
            env={**os.environ, "HEADRACE_CACHE": str(tmp_path / "cache")},
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip

    full, eight = tmp_path / "full.yaml", tmp_path / "eight.yaml"
    full.write_text(FLEET.format(weights=write_model(tmp_path / "m").as_uri()))
    made = headrace("quantize", str(full), str(tmp_path / "m 8"))
    assert made.returncode == 0, made.stderr
    assert f"tiny: {MATRICES} matrices in 8 bits" in made.stdout
    weights = made.stdout.strip().rpartition("weights: ")[2]
    eight.write_text(FLEET.format(weights=weights))
    assert headrace("pull", str(eight)).returncode == 0
    assert headrace("verify", str(eight)).stdout == "tiny: good: 3 files match the lock file\n"
    again = headrace("quantize", str(full), str(tmp_path / "m 8"))
    assert (again.returncode, again.stderr.count("is there already")) == (1, 1)
