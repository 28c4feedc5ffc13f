"""The INT8 variant of the real model, served by real vLLM as a fleet file names it."""

from __future__ import annotations

from pathlib import Path

import httpx
from fleet_process import START, running_fleet, write_fleet

from headrace.models.int8 import quantize_folder


def test_vllm_loads_the_variant_and_answers_the_known_prompt(
    tmp_path: Path, smollm2: Path, state_folder: Path
) -> None:
    variant = quantize_folder(smollm2, tmp_path / "int8").folder
    file = write_fleet(tmp_path, weights=variant.as_uri())
    with running_fleet(file, state_folder) as fleet:
        address = fleet.wait_for(r"^ready: (\S+)")[1]
        asked = {
            "model": "smollm2",
            "prompt": "1, 2, 3, 4, 5, 6,",
            "max_tokens": 3,
            "temperature": 0,
        }
        answer = httpx.post(
            f"{address}/completions", json=asked, timeout=START, trust_env=False
        ).json()
        assert answer["choices"][0]["text"] == " 7,"
    (log,) = state_folder.rglob("smollm2-1.log")
    assert "quantization=compressed-tensors" in log.read_text()
