"""trtllm-serve's containers against its published contract (facts on engines, sections 0.9 to 7)."""

from container_kit import NODES, container, given, problems
from ruamel.yaml import YAML

from headrace.engines.base import Resume
from headrace.engines.trtllm import PARAMETERS, Trtllm

FULL = {
    "max_model_len": 8192,
    "max_num_seqs": 64,
    "max_num_batched_tokens": 4096,
    "gpu_memory_utilization": 0.85,
    "tensor_parallel": 2,
    "engine": {
        "name": "trtllm",
        "flags": {"kv_cache_config.enable_block_reuse": False, "kv-cache-config.dtype": "fp8"},
    },
}


def test_command() -> None:
    """Section 5: `trtllm-serve MODEL`; always pass --host 0.0.0.0."""
    made = container("trtllm", "1.2.1", **FULL)
    assert made.command == ("trtllm-serve",)
    assert made.args[0] == "/models/llama"
    assert given(made) == {
        "--backend": "pytorch",
        "--host": "0.0.0.0",  # noqa: S104 - in a Pod
        "--port": "8000",
        "--extra_llm_api_options": PARAMETERS,
    }
    assert made.image == "nvcr.io/nvidia/tensorrt-llm/release:1.2.1"


def test_parameters() -> None:
    """Section 0.9: Prometheus metrics only with return_perf_metrics; 1.3: the rest by YAML."""
    made = container("trtllm", "1.2.1", **FULL)
    assert YAML(typ="safe").load(made.files[PARAMETERS]) == {
        "tensor_parallel_size": 2,
        "pipeline_parallel_size": 1,
        "max_batch_size": 64,
        "max_seq_len": 8192,
        "max_num_tokens": 4096,
        "enable_chunked_prefill": True,
        "kv_cache_config": {
            "free_gpu_memory_fraction": 0.85,
            "enable_block_reuse": False,
            "dtype": "fp8",
        },
        "return_perf_metrics": True,
    }


def test_metrics() -> None:
    """Section 2: at /prometheus/metrics, port 8000; 1.1 had five, and the long list is later."""
    made = container("trtllm", "1.2.1")
    assert made.ports == {"http": 8000, "metrics": 8000}
    assert made.metrics_path == "/prometheus/metrics"
    many, few = Trtllm("1.2.1").metric_sources(), Trtllm("1.1").metric_sources()
    assert many["running"] == ("trtllm_num_requests_running",)
    assert many["kv_usage"] == ("trtllm_kv_cache_utilization",)
    assert few.keys() == {"ttft", "tpot", "e2e", "success"}


def test_probes_and_drain() -> None:
    """Sections 3 and 4: /health; while loading 503 or refused; waits without a limit."""
    made = container("trtllm", "1.2.1", lifecycle={"startup": "20m"})
    assert {p.path for p in (made.startup, made.readiness, made.liveness)} == {"/health"}
    assert made.startup.period * made.startup.failures == 1200
    assert (made.drain.inside, made.drain.seconds, made.drain.tells) == (True, None, True)


def test_resume() -> None:
    """Section 7: continue_final_message not found; return_token_ids is rejected."""
    assert Trtllm("1.2.1").resume == Resume(chat=False, token_ids=False)


def test_what_it_cannot_do() -> None:
    found = problems("trtllm", "1.2.1", NODES, pipeline_parallel=2, tensor_parallel=8)
    assert "MPI" in found["pipeline_parallel"]
    assert "from the weights" in problems("trtllm", "1.2.1", quantization="fp8")["quantization"]
    adapters = {"a": {"weights": "file:///a"}}
    assert "lora_request" in problems("trtllm", "1.2.1", adapters=adapters)["adapters"]
    flags = {"kv_cache_config.free_gpu_memory_fraction": 0.5, "tp_size": 2, "host": "::"}
    found = problems("trtllm", "1.2.1", engine={"name": "trtllm", "flags": flags})
    assert found.keys() == {f"engine.flags.{flag}" for flag in flags}
