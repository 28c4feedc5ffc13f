"""LoRA adapters on real vLLM: loaded by the flags that Headrace gives, asked for by their aliases."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from test_vllm_adapter import Running, deployment, start, stop, wait_healthy

from headrace.engines.base import LoraAdapter
from headrace.engines.known_prompt import judge, probe_request
from headrace.models.adapter import adapter_rank, check_adapter

LAYERS, HIDDEN, WIDTHS = 30, 576, {"q_proj": 576, "v_proj": 192}
"""SmolLM2-135M's, by its config.json."""


def write_adapter(folder: Path, rank: int, loud: float) -> LoraAdapter:
    """Write random matrices; with `loud` 0 the adapter changes nothing."""
    folder.mkdir()
    random = np.random.default_rng(rank)
    tensors = {}
    for layer in range(LAYERS):
        for module, width in WIDTHS.items():
            name = f"base_model.model.model.layers.{layer}.self_attn.{module}"
            down, up = random.standard_normal((rank, HIDDEN)), random.standard_normal((width, rank))
            tensors[f"{name}.lora_A.weight"] = (down / 24).astype(np.float32)
            tensors[f"{name}.lora_B.weight"] = (up * loud).astype(np.float32)
    save_file(tensors, folder / "adapter_model.safetensors")
    said = {"peft_type": "LORA", "r": rank, "lora_alpha": 2 * rank, "target_modules": [*WIDTHS]}
    (folder / "adapter_config.json").write_text(json.dumps(said))
    check_adapter(folder)
    return LoraAdapter(folder.name, folder, adapter_rank(folder))


@pytest.fixture(scope="module")
def engine(
    vllm_python: Path, smollm2: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("lora")
    adapters = write_adapter(folder / "mute", 4, 0.0), write_adapter(folder / "wild", 9, 0.5)
    running = start(vllm_python, smollm2, folder, deployment(), adapters)
    try:
        wait_healthy(running)
        yield running
    finally:
        stop(running)


def test_both_adapters_are_models_of_their_base(engine: Running) -> None:
    models = engine.client.get("/v1/models").json()["data"]
    assert {model["id"]: model["parent"] for model in models} == {
        "smollm2": None,
        "smollm2-135m": None,
        "mute": "smollm2",
        "wild": "smollm2",
    }


def test_each_alias_answers_as_its_adapter_says(engine: Running) -> None:
    verdicts = {}
    for name in ("smollm2", "mute", "wild", "smollm2-135m"):
        path, body = probe_request(None, name)
        verdicts[name] = judge(None, engine.client.post(path, json=body).json())
    wild = verdicts.pop("wild")
    assert verdicts == {"smollm2": None, "mute": None, "smollm2-135m": None}
    assert wild is not None
