"""A model's folder: what an engine could not load is refused, and facts are exact from its files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save
from weights_kit import tiny_model, write_folder

from headrace.models.architecture import Attention
from headrace.models.config import check_folder
from headrace.models.errors import FormatError
from headrace.models.look_up import read_folder


def _folder(tmp_path: Path, **changes: Any) -> Path:
    files = tiny_model(1000)
    config = {**json.loads(files["config.json"]), **changes}
    files["config.json"] = json.dumps({k: v for k, v in config.items() if v != "-"}).encode()
    return write_folder(tmp_path / "m", files)


def test_facts_of_a_small_folder(tmp_path: Path) -> None:
    """Of 1,000 float32 values, which vLLM loads as bfloat16."""
    facts = read_folder(_folder(tmp_path))
    assert facts.architecture.name == "LlamaForCausalLM"
    # as many KV heads as heads; 8 / 2 values each
    assert facts.architecture.attention == (Attention("full", 1, 2, 4, 4),)
    assert (facts.weights.total, facts.weights.exact, facts.weights.scheme) == (2000, True, "bf16")


def test_what_is_said_wins_over_what_follows(tmp_path: Path) -> None:
    facts = read_folder(_folder(tmp_path, head_dim=16, num_key_value_heads=1))
    assert facts.architecture.attention == (Attention("full", 1, 1, 16, 16),)


def test_pickles_have_no_header_and_are_counted_by_formula(tmp_path: Path) -> None:
    folder = _folder(tmp_path)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    facts = read_folder(folder)
    assert not facts.weights.exact
    assert facts.weights.total == 2 * facts.architecture.parameters.total


def test_a_pickle_beside_safetensors_is_no_reason_to_guess(tmp_path: Path) -> None:
    folder = _folder(tmp_path)
    (folder / "training_args.bin").write_bytes(b"\x80\x02")
    assert read_folder(folder).weights.exact


def test_shards_are_those_of_the_index(tmp_path: Path) -> None:
    folder = _folder(tmp_path)
    (folder / "model.safetensors").rename(folder / "s1.safetensors")
    (folder / "s2.safetensors").write_bytes(save({"b": np.zeros(10, np.int8)}))
    (folder / "unused.safetensors").write_bytes(b"broken")
    index = {"weight_map": {"a": "s1.safetensors", "b": "s2.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert read_folder(folder).weights.total == 2010
    (folder / "s2.safetensors").unlink()
    with pytest.raises(FormatError, match=r"not there: s2\.safetensors"):
        check_folder(folder)


@pytest.mark.parametrize("config", [b"", b"[]", b"[" * 100_000, b"\xff"])
def test_a_broken_configuration_is_refused(tmp_path: Path, config: bytes) -> None:
    folder = write_folder(tmp_path / "m", {**tiny_model(), "config.json": config})
    with pytest.raises(FormatError, match=r"config\.json"):
        check_folder(folder)


def test_a_folder_without_configuration_or_weights_is_refused(tmp_path: Path) -> None:
    files = tiny_model()
    with pytest.raises(FormatError, match=r"no config\.json"):
        check_folder(
            write_folder(tmp_path / "a", {"model.safetensors": files["model.safetensors"]})
        )
    with pytest.raises(FormatError, match=r"no \*.safetensors"):
        check_folder(write_folder(tmp_path / "b", {"config.json": files["config.json"]}))
