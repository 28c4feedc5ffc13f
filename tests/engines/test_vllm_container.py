"""vLLM's containers against its published contract (facts on engines, sections 0 to 6)."""

from pathlib import Path
from typing import Any

import pytest
from container_kit import GPU, NODES, SPOT, container, given, problems

from headrace.engines.base import LoraAdapter
from headrace.engines.container import Spot
from headrace.engines.vllm import Vllm
from headrace.fleet.types import Hardware

CPU = Hardware(kind="cpu")
LWS = Spot(
    SPOT.model_path,
    SPOT.served_names,
    nodes=2,
    leader="$(LWS_LEADER_ADDRESS)",
    rank="$(LWS_WORKER_INDEX)",
)
FULL: dict[str, Any] = {
    "max_model_len": 8192,
    "max_num_seqs": 64,
    "max_num_batched_tokens": 4096,
    "gpu_memory_utilization": 0.9,
    "tensor_parallel": 2,
    "quantization": "fp8",
    "lifecycle": {"drain": "45s"},
}


def test_flags_of_0_32() -> None:
    made = container("vllm", "0.32.0", **FULL)
    assert made.command == ("vllm", "serve")
    assert made.args[0] == "/models/llama"
    assert given(made) == {
        "--host": "0.0.0.0",  # noqa: S104 - in a Pod
        "--port": "8000",
        "--max-model-len": "8192",
        "--max-num-seqs": "64",
        "--max-num-batched-tokens": "4096",
        "--tensor-parallel-size": "2",
        "--quantization": "fp8",
        "--gpu-memory-utilization": "0.9",
        "--disable-uvicorn-access-log": "",
        "--enable-prompt-tokens-details": "",
        "--enable-per-request-metrics": "",
        "--shutdown-timeout": "45",
        "--served-model-name": "chat",
    }


@pytest.mark.parametrize(
    ("version", "there", "not_there"),
    [
        ("0.9.2", {"--disable-log-requests"}, {"--shutdown-timeout"}),
        ("0.16.0", {"--served-model-name"}, {"--shutdown-timeout"}),
        ("0.18.1", {"--shutdown-timeout"}, {"--disable-log-requests"}),
        ("0.33.0", {"--shutdown-timeout"}, {"--disable-log-requests"}),
    ],
)
def test_flags_by_version(version: str, there: set[str], not_there: set[str]) -> None:
    """Section 1.1: shutdown-timeout from 0.18.1; log requests are off unasked since 0.10."""
    flags = given(container("vllm", version, **FULL)).keys()
    assert there <= flags
    assert not not_there & flags


def test_images() -> None:
    """Section 5: vllm/vllm-openai:vX; the CPU release repository."""
    assert container("vllm", "0.32").image == "vllm/vllm-openai:v0.32.0"
    cpu = container("vllm", "0.32.0", SPOT, CPU, kv_cache="1GiB")
    assert cpu.image == "public.ecr.aws/q9t5s3a7/vllm-cpu-release-repo:v0.32.0"


def test_nothing_is_fetched_and_caches_are_kept() -> None:
    """Section 5: HF_HOME, VLLM_CACHE_ROOT (the compile cache: persist it)."""
    env = container("vllm", "0.32.0").env
    assert env["HF_HUB_OFFLINE"] == "1"
    assert env["VLLM_CACHE_ROOT"].startswith("/cache/")
    assert env["HF_HOME"].startswith("/cache/")
    assert "VLLM_HOST_IP" not in env


def test_what_health_means_is_said() -> None:
    """Section 3: no generation; 200 all through a drain; the port opens after weights load."""
    made = container("vllm", "0.32.0", lifecycle={"startup": "15m"})
    assert made.readiness.path == made.liveness.path == made.startup.path == "/health"
    assert made.startup.period * made.startup.failures == 900
    assert "nothing is generated" in made.readiness.means


def test_sigterm() -> None:
    """Section 4: up to 0.17 it aborts; from 0.18 it drains, and health says nothing of it."""
    old, new = container("vllm", "0.17.1").drain, container("vllm", "0.18.1").drain
    assert (old.inside, old.seconds, old.tells) == (False, None, False)
    assert (new.inside, new.seconds, new.tells) == (True, 60, False)


def test_over_nodes_without_ray() -> None:
    """Section 6: --nnodes --node-rank --master-addr; workers the same and --headless."""
    size = {"tensor_parallel": 8, "pipeline_parallel": 2}
    leader = given(container("vllm", "0.33.0", LWS, NODES, **size))
    assert leader["--nnodes"] == "2"
    assert leader["--node-rank"] == "$(LWS_WORKER_INDEX)"
    assert leader["--master-addr"] == "$(LWS_LEADER_ADDRESS)"
    assert "--headless" not in leader
    worker = Spot(**{**LWS.__dict__, "worker": True})
    assert given(container("vllm", "0.33.0", worker, NODES, **size)) == leader | {"--headless": ""}


def test_over_nodes_since_0_11_2() -> None:
    """Section 6: native multi-node since 0.11.2; before, Ray."""
    size = {"tensor_parallel": 8, "pipeline_parallel": 2}
    assert "Ray" in problems("vllm", "0.10.2", NODES, **size)["engine.version"]
    assert not problems("vllm", "0.11.2", NODES, **size)
    assert not problems("vllm", "0.10.2", NODES, tensor_parallel=8)


def test_adapters() -> None:
    adapters = (LoraAdapter("pirate", Path("/l/p"), 12),)
    made = container("vllm", "0.32.0", Spot("/m", ("chat",), adapters=adapters))
    assert made.args[-2:] == ("--lora-modules", "pirate=/l/p")
    assert given(made)["--max-lora-rank"] == "16"


def test_older_cpu_versions_take_gibibytes_in_the_environment() -> None:
    env = container("vllm", "0.31.0", SPOT, CPU, kv_cache="2GiB").env
    assert env["VLLM_CPU_KVCACHE_SPACE"] == "2"
    assert "VLLM_CPU_KVCACHE_SPACE" not in container("vllm", "0.31.0", SPOT, GPU).env


def test_flags_that_vanished() -> None:
    """Section 0.8."""
    vllm = Vllm("0.18.1")
    assert "gone since 0.18" in (vllm.flag_absence("swap-space") or "")
    assert "gone" in (vllm.flag_absence("num_scheduler_steps") or "")
    assert vllm.flag_absence("shutdown-timeout") is None
    assert vllm.flag_absence("no-such-flag-is-known") is None
