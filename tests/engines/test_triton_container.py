"""Triton's containers against its published contract; a real server runs the repository in tests/real."""

import ast

import pytest
from container_kit import SPOT, container, given, problems
from ruamel.yaml import YAML

from headrace.engines.base import Resume
from headrace.engines.container import Spot
from headrace.engines.metrics import Sample, read_metrics
from headrace.engines.triton import Triton

MODELS = "/etc/headrace/triton/models"
FRONT_END_SENDS = {
    "text_input": "TYPE_STRING",
    "stream": "TYPE_BOOL",
    "max_tokens": "TYPE_INT32",
    "stop_words": "TYPE_STRING",
    "top_p": "TYPE_FP32",
    "frequency_penalty": "TYPE_FP32",
    "presence_penalty": "TYPE_FP32",
    "seed": "TYPE_UINT64",
    "temperature": "TYPE_FP32",
    "exclude_input_in_output": "TYPE_BOOL",
    "guided_decoding_guide_type": "TYPE_STRING",
    "guided_decoding_guide": "TYPE_STRING",
    "return_num_input_tokens": "TYPE_BOOL",
    "return_num_output_tokens": "TYPE_BOOL",
}
"""What openai_frontend/engine/utils/triton.py makes of a request, and with which NumPy type."""


def test_command() -> None:
    """Section 5: the front end's port is 9000; the image's tag is YY.MM-trtllm-python-py3."""
    made = container("triton", "26.07")
    assert made.image == "nvcr.io/nvidia/tritonserver:26.07-trtllm-python-py3"
    assert made.command[0] == "python3"
    assert made.command[1].endswith("/openai_frontend/main.py")
    assert given(made) == {
        "--model-repository": MODELS,
        "--tokenizer": "/models/llama",
        "--backend": "tensorrtllm",
        "--host": "0.0.0.0",  # noqa: S104 - in a Pod
        "--openai-port": "9000",
    }
    assert made.ports == {"http": 9000, "metrics": 9000}


def test_the_model_takes_what_the_front_end_sends() -> None:
    text = container("triton", "26.07").files[f"{MODELS}/chat/config.pbtxt"]
    for name, kind in FRONT_END_SENDS.items():
        assert f'{{ name: "{name}", data_type: {kind}, dims: [' in text
    assert 'name: "chat"' in text
    assert 'backend: "python"' in text
    assert "model_transaction_policy { decoupled: true }" in text


def test_parameters_are_arguments_of_the_llm_api() -> None:
    """Section 1.4: `model.yaml`, keys = `LLM()` arguments."""
    flags = {"kv_cache_config.enable_block_reuse": False}
    made = container(
        "triton",
        "26.07",
        max_model_len=4096,
        max_num_seqs=32,
        gpu_memory_utilization=0.8,
        tensor_parallel=4,
        engine={"name": "triton", "flags": flags},
    )
    assert YAML(typ="safe").load(made.files[f"{MODELS}/chat/1/model.yaml"]) == {
        "model": "/models/llama",
        "backend": "pytorch",
        "tensor_parallel_size": 4,
        "pipeline_parallel_size": 1,
        "max_batch_size": 32,
        "max_seq_len": 4096,
        "kv_cache_config": {"free_gpu_memory_fraction": 0.8, "enable_block_reuse": False},
        "guided_decoding_backend": "xgrammar",
    }


def test_the_model_stands_alone() -> None:
    source = container("triton", "26.07").files[f"{MODELS}/chat/1/model.py"]
    imported = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)]
    assert not [node for node in imported if (node.module or "").startswith("headrace")]


@pytest.mark.parametrize(
    ("names", "folder"),
    [(("org/model", "chat"), "chat"), (("a.b_c-1",), "a.b_c-1"), (("../up", "o/x"), "model")],
)
def test_a_model_has_one_name_that_can_be_a_folder(names: tuple[str, ...], folder: str) -> None:
    assert Triton("26.07").answers_to(names) == (folder,)
    made = container("triton", "26.07", Spot(SPOT.model_path, names))
    assert f"{MODELS}/{folder}/1/model.py" in made.files


def test_probes_and_drain() -> None:
    """Sections 3 and 4: /health/ready of the front end; open connections finish."""
    made = container("triton", "26.07")
    paths = {p.path for p in (made.startup, made.readiness, made.liveness)}
    assert paths == {"/health/ready"}
    assert (made.drain.inside, made.drain.tells) == (True, True)


def test_running_and_waiting_are_series_of_one_metric() -> None:
    """Section 2: nv_trt_llm_request_metrics{request_type=…}."""
    page = """\
# TYPE nv_trt_llm_request_metrics gauge
nv_trt_llm_request_metrics{model="chat",request_type="active",version="1"} 7
nv_trt_llm_request_metrics{model="chat",request_type="waiting",version="1"} 3
# TYPE nv_inference_request_success counter
nv_inference_request_success{model="chat",version="1"} 12
"""
    found = read_metrics(page, Triton("26.07").metric_sources())
    assert found["running"] == Sample(7)
    assert found["waiting"] == Sample(3)
    assert found["success"] == Sample(12)
    assert found["kv_usage"] is None


def test_what_it_cannot_do() -> None:
    assert Triton("26.07").resume == Resume(chat=False, token_ids=False)
    assert "25.02" in problems("triton", "2.51.0")["engine.version"]
    assert "from the weights" in problems("triton", "26.07", quantization="awq")["quantization"]
    adapters = {"a": {"weights": "file:///a"}}
    assert "adapters" in problems("triton", "26.07", adapters=adapters)
