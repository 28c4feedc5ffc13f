"""What a fleet's plan says of starting at all, at home in `preflight` and in `validate`."""

from __future__ import annotations

from pathlib import Path

import pytest
from preflight_kit import line_of

from headrace.preflight.check import preflight
from headrace.preflight.finding import Finding

FLEET = """\
fleet: f
models:
  m: {{weights: "hf://meta-llama/Llama-3.1-{size}-Instruct{suffix}@main"}}
hardware:
  h: {{kind: gpu, product: {product}, nodes: {nodes}}}
deployments:
  d:
    model: m
    hardware: h
    engine: {{name: vllm, flags: {{{flags}}}}}
    quantization: {scheme}
    max_model_len: {length}
    gpu_memory_utilization: {share}
    tensor_parallel: {tensor}
    pipeline_parallel: {pipeline}
routes:
  r: {{match: {{model: [m]}}, deployment: d}}
"""
GOOD = {
    "size": "70B",
    "product": "A100-80GB",
    "nodes": 1,
    "flags": "",
    "scheme": "fp8",
    "suffix": "",
    "length": 8192,
    "share": 0.92,
    "tensor": 2,
    "pipeline": 1,
}


@pytest.fixture(autouse=True)
def _nothing_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("HEADRACE_CACHE", str(tmp_path / "cache"))


def _found(folder: Path, text: str) -> list[Finding]:
    file = folder / "fleet.yaml"
    file.write_text(text, encoding="utf-8")
    return [one for one in preflight([file]).open if not one.rule.id.startswith("HR8")]


@pytest.mark.parametrize(
    ("changes", "rule", "marker", "words"),
    [
        ({"tensor": 3}, "HR006", "tensor_parallel", "3 does not divide the 64 attention heads"),
        ({"size": "405B", "tensor": 16, "nodes": 2}, "HR006", "tensor_parallel", "cross nodes"),
        (
            {"size": "405B", "tensor": 4, "pipeline": 3},
            "HR006",
            "tensor_parallel",
            "TP4 x PP3 needs 2 nodes of 8, there are 1",
        ),
        # v1/worker/utils.py request_memory: free memory at start is less, by the driver's own
        ({"share": 1.0}, "HR006", "gpu_memory_utilization", "all memory is free"),
        ({"length": 200_000}, "HR006", "max_model_len", "was made for 131,072"),
        # "Cannot find the config file for awq" (model_loader/weight_utils.py)
        ({"scheme": "awq"}, "HR006", "quantization", "are bf16, not quantized as awq needs"),
        ({"scheme": "int8"}, "HR004", "quantization", "its name there is compressed-tensors"),
        ({"scheme": "awqq"}, "HR004", "quantization", "did you mean 'awq'?"),
        # 141.1 GB of weights, and a card of 85 GB
        ({"scheme": "null", "tensor": 1}, "HR203", "max_model_len", "141.1 GB of weights"),
        # 16.1 of 42.3 GB are weights; 131,072 x 131,072 bytes of KV are 17.2 GB: it starts
        (
            {"size": "8B", "product": "A100-40GB", "tensor": 1, "length": 131_072},
            "HR202",
            "max_model_len",
            "which is the model's maximum",
        ),
    ],
)
def test_what_cannot_start_has_its_line(
    tmp_path: Path, changes: dict[str, object], rule: str, marker: str, words: str
) -> None:
    text = FLEET.format(**(GOOD | changes))
    (found,) = _found(tmp_path, text)
    assert (found.rule.id, found.line) == (rule, line_of(text, f"    {marker}:"))
    assert words in found.message


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"scheme": "awq", "suffix": "-AWQ-INT4"},
        {
            "scheme": "null",
            "tensor": 1,
            "flags": "cpu-offload-gb: 80",
        },  # part of the weights is elsewhere
        {"product": "Our-Own-GPU", "tensor": 1},
        {"size": "8B-of-ours", "tensor": 3},
        {"size": "405B", "tensor": 8, "pipeline": 2, "nodes": 2},
    ],
)
def test_what_starts_or_is_not_known_says_nothing(
    tmp_path: Path, changes: dict[str, object]
) -> None:
    assert _found(tmp_path, FLEET.format(**(GOOD | changes))) == []


def test_a_trace_that_is_not_there_hides_nothing(tmp_path: Path) -> None:
    text = FLEET.format(**(GOOD | {"tensor": 3}))
    text = text.replace("deployment: d}", "deployment: d, traffic: {trace: none.csv}}")
    (found,) = _found(tmp_path, text)
    assert found.rule.id == "HR006"
