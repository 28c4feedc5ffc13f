"""Facts of a model from its folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save
from weights_kit import tiny_model, write_folder

from headrace.models.config import check_folder, read_facts
from headrace.models.errors import FormatError


def _folder(tmp_path: Path, **changes: Any) -> Path:
    files = tiny_model(1000)
    config = {**json.loads(files["config.json"]), **changes}
    files["config.json"] = json.dumps({k: v for k, v in config.items() if v != "-"}).encode()
    return write_folder(tmp_path / "m", files)


def test_facts_of_a_small_model(tmp_path: Path) -> None:
    facts = read_facts(_folder(tmp_path))
    assert facts.architecture == "LlamaForCausalLM"
    assert (facts.layers, facts.hidden, facts.heads, facts.vocab, facts.context) == (
        1,
        8,
        2,
        16,
        32,
    )
    assert (facts.kv_heads, facts.head_dim) == (2, 4)  # as many as heads; 8 / 2
    assert (facts.parameters, facts.weight_bytes, facts.dtype) == (1000, 4000, "float32")


def test_what_is_said_wins_over_what_follows(tmp_path: Path) -> None:
    facts = read_facts(_folder(tmp_path, head_dim=16, num_key_value_heads=1, torch_dtype="-"))
    assert (facts.kv_heads, facts.head_dim, facts.dtype) == (1, 16, "F32")


def test_a_multimodal_model_nests_its_decoder(tmp_path: Path) -> None:
    inner = json.loads(tiny_model()["config.json"]) | {"num_hidden_layers": 7}
    facts = read_facts(_folder(tmp_path, text_config=inner, num_hidden_layers="-"))
    assert facts.layers == 7


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"num_hidden_layers": "-"}, "num_hidden_layers"),
        ({"num_hidden_layers": 0}, "num_hidden_layers"),
        ({"hidden_size": "8"}, "hidden_size"),
        ({"num_attention_heads": True}, "num_attention_heads"),
        ({"architectures": []}, "architectures"),
    ],
)
def test_a_wrong_key_is_named(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(FormatError, match=says):
        read_facts(_folder(tmp_path, **changes))


def test_shards_are_those_of_the_index(tmp_path: Path) -> None:
    folder = _folder(tmp_path)
    (folder / "model.safetensors").rename(folder / "s1.safetensors")
    (folder / "s2.safetensors").write_bytes(save({"b": np.zeros(10, np.int8)}))
    (folder / "unused.safetensors").write_bytes(b"broken")
    index = {"weight_map": {"a": "s1.safetensors", "b": "s2.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert read_facts(folder).weight_bytes == 4010
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
