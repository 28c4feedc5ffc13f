"""LoRA adapters: what is one, and what a pull refuses to publish."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from headrace.fleet.source import FileSource
from headrace.models.adapter import adapter_rank, check_adapter
from headrace.models.errors import FormatError
from headrace.models.pull import pull
from headrace.models.store import Store

NAME = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"


def write_adapter(folder: Path, **config: Any) -> Path:
    folder.mkdir(exist_ok=True)
    said = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj"], **config}
    (folder / "adapter_config.json").write_text(json.dumps(said))
    tensors = {NAME: np.ones((4, 8), dtype=np.float32)}
    (folder / "adapter_model.safetensors").write_bytes(save(tensors))
    return folder


def test_the_rank_is_the_largest_of_all_matrices(tmp_path: Path) -> None:
    assert adapter_rank(write_adapter(tmp_path)) == 4
    assert adapter_rank(write_adapter(tmp_path, rank_pattern={"v_proj": 32, "k_proj": 2})) == 32
    assert adapter_rank(write_adapter(tmp_path, rank_pattern=None)) == 4


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"peft_type": "IA3"}, "peft_type must be LORA, not 'IA3'"),
        ({"r": 0}, "r must be a positive number, not 0"),
        ({"r": True}, "r must be a positive number, not True"),
        ({"r": None}, "r must be a positive number, not None"),
        ({"rank_pattern": {"x": "8"}}, "rank_pattern must be a positive number, not '8'"),
        ({"rank_pattern": [8]}, "rank_pattern must be an object"),
    ],
)
def test_what_is_no_lora_adapter_is_refused(
    tmp_path: Path, config: dict[str, Any], expected: str
) -> None:
    write_adapter(tmp_path, **config)
    with pytest.raises(FormatError, match=expected):
        check_adapter(tmp_path)


def test_a_folder_without_configuration_or_whole_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"there is no adapter_config\.json"):
        check_adapter(tmp_path)
    write_adapter(tmp_path)
    weights = tmp_path / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(FormatError, match=r"adapter_model\.safetensors"):
        check_adapter(tmp_path)
    weights.unlink()
    with pytest.raises(FormatError, match=r"there is no adapter_model\.safetensors"):
        check_adapter(tmp_path)


def test_an_adapter_is_pulled_locked_and_verified_as_a_model_is(
    tmp_path: Path, store: Store
) -> None:
    source = FileSource(str(write_adapter(tmp_path / "mine")))
    made = pull("chat/pirate", source, store=store, check=check_adapter)
    assert {file.path for file in made.entry.files} == {
        "adapter_config.json",
        "adapter_model.safetensors",
    }
    assert store.verify(made.entry) == []
    again = pull("chat/pirate", source, store=store, lock_entry=made.entry, check=check_adapter)
    assert (again.path, again.fetched, again.lock_changed) == (made.path, False, False)
    with pytest.raises(FormatError, match=r"^chat/model: there is no config\.json"):
        pull("chat/model", source, store=store)
