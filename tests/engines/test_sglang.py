"""SGLang's containers against its published contract (facts on engines, sections 1.5, 2, 3, 4, 6 and 7)."""

import pytest
from container_kit import GPU, NODES, SPOT, container, given, problems

from headrace.engines.base import Resume
from headrace.engines.container import Spot
from headrace.engines.sglang import Sglang

FULL = {
    "max_model_len": 8192,
    "max_num_seqs": 64,
    "max_num_batched_tokens": 4096,
    "gpu_memory_utilization": 0.85,
    "tensor_parallel": 2,
    "quantization": "fp8",
}


def test_flags() -> None:
    """Sections 0.9 and 1.5: it binds 127.0.0.1 by default and has no metrics unasked."""
    made = container("sglang", "0.5.23", **FULL)
    assert made.command == ("python3", "-m", "sglang.launch_server")
    assert given(made) == {
        "--model-path": "/models/llama",
        "--served-model-name": "chat",
        "--host": "0.0.0.0",  # noqa: S104 - in a Pod
        "--port": "30000",
        "--enable-metrics": "",
        "--max-running-requests": "64",
        "--tp-size": "2",
        "--context-length": "8192",
        "--chunked-prefill-size": "4096",
        "--mem-fraction-static": "0.85",
        "--quantization": "fp8",
    }


def test_switches_of_the_file() -> None:
    flags = {"disable-radix-cache": True, "enable_hicache": False, "stream-interval": 4}
    args = container("sglang", "0.5.23", engine={"name": "sglang", "flags": flags}).args
    assert "--disable-radix-cache" in args
    assert "--enable-hicache" not in args
    assert args[args.index("--stream-interval") + 1] == "4"


def test_image_ports_and_metrics() -> None:
    """Section 5: a tag such as v0.5.19-cu129; never latest. Section 2: /metrics on port 30000."""
    made = container("sglang", "0.5.23")
    assert made.image == "lmsysorg/sglang:v0.5.23"
    assert made.ports == {"http": 30000, "metrics": 30000}
    assert made.metrics_path == "/metrics"


@pytest.mark.parametrize(
    ("version", "name"),
    [
        ("0.4.0", "sglang:time_per_output_token_seconds"),
        ("0.4.9", "sglang:inter_token_latency_seconds"),
        ("0.5.23", "sglang:inter_token_latency_seconds"),
    ],
)
def test_the_metric_that_was_renamed(version: str, name: str) -> None:
    """Section 2: time_per_output_token_seconds in 0.4.0, replaced by 0.4.9."""
    assert Sglang(version).metric_sources()["itl"] == (name,)


def test_metrics() -> None:
    sources = Sglang("0.5.23").metric_sources()
    assert sources["running"] == ("sglang:num_running_reqs",)
    assert sources["waiting"] == ("sglang:num_queue_reqs",)
    assert sources["kv_usage"] == ("sglang:token_usage",)
    assert sources["tpot"] == ("sglang:request_time_per_output_token_seconds",)


def test_probes_leave_time_for_a_token() -> None:
    """Section 3: /health generates, takes a second at least, and gives up after 20 s."""
    made = container("sglang", "0.5.23")
    assert (made.startup.path, made.liveness.path) == ("/health", "/health")
    assert made.liveness.timeout > 20
    assert made.startup.timeout > 1
    assert made.readiness.path == "/ready"


def test_sigterm_drains_without_a_deadline() -> None:
    """Section 4: polls every 5 s until no request is left; health and ready 503 meanwhile."""
    drain = container("sglang", "0.5.23").drain
    assert (drain.inside, drain.seconds, drain.tells) == (True, None, True)


def test_over_nodes() -> None:
    """Section 6: --dist-init-addr $(LWS_LEADER_ADDRESS):20000 --nnodes … --node-rank …"""
    spot = Spot(
        SPOT.model_path,
        SPOT.served_names,
        nodes=2,
        leader="$(LWS_LEADER_ADDRESS)",
        rank="$(LWS_WORKER_INDEX)",
    )
    flags = given(container("sglang", "0.5.23", spot, NODES, tensor_parallel=16))
    assert flags["--dist-init-addr"] == "$(LWS_LEADER_ADDRESS):20000"
    assert flags["--nnodes"] == "2"
    assert flags["--node-rank"] == "$(LWS_WORKER_INDEX)"
    assert "--nnodes" not in given(container("sglang", "0.5.23"))
    assert not problems("sglang", "0.5.23", NODES, tensor_parallel=16)


def test_resume() -> None:
    """Section 7: return_token_ids and continue_final_message, seen in 0.5.23."""
    assert Sglang("0.5.23").resume == Resume(chat=True, token_ids=True)
    assert not Sglang("0.4.9").resume.token_ids


def test_what_it_cannot_do() -> None:
    adapters = {"a": {"weights": "file:///a"}}
    assert "base:adapter" in problems("sglang", "0.5.23", GPU, adapters=adapters)["adapters"]
    flags = {"host": "127.0.0.1", "api-key": "x", "tp": 2}
    found = problems("sglang", "0.5.23", engine={"name": "sglang", "flags": flags})
    assert found.keys() == {f"engine.flags.{flag}" for flag in flags}
    assert "tensor_parallel" in found["engine.flags.tp"]
