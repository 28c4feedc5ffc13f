"""TGI's containers against its published contract (facts on engines, sections 1.2, 2, 3, 4, 5 and 6)."""

from pathlib import Path

from container_kit import NODES, SPOT, container, given, problems

from headrace.engines.base import LoraAdapter, Resume
from headrace.engines.container import Spot
from headrace.engines.tgi import Tgi

FULL = {
    "max_model_len": 8192,
    "max_num_seqs": 64,
    "max_num_batched_tokens": 16384,
    "gpu_memory_utilization": 0.9,
    "tensor_parallel": 2,
    "quantization": "awq",
    "lifecycle": {"drain": "45s"},
}


def test_flags_of_the_last_release() -> None:
    """Section 1.2: names as in launcher/src/main.rs; --port and --prometheus-port both want -p."""
    assert given(container("tgi", "3.3.7", **FULL)) == {
        "--model-id": "/models/llama",
        "--hostname": "0.0.0.0",  # noqa: S104 - in a Pod
        "--port": "3000",
        "--prometheus-port": "9000",
        "--graceful-termination-timeout": "45",
        "--max-batch-size": "64",
        "--max-concurrent-requests": "128",
        "--max-total-tokens": "8192",
        "--max-input-tokens": "8191",
        "--max-batch-prefill-tokens": "16384",
        "--cuda-memory-fraction": "0.9",
        "--num-shard": "2",
        "--quantize": "awq",
    }


def test_flags_that_came_with_3_3_are_not_given_before() -> None:
    """Section 1.2: v3.2.0 has neither."""
    for version in ("2.4", "3.2.0"):
        flags = given(container("tgi", version, **FULL))
        assert not {"--prometheus-port", "--graceful-termination-timeout"} & flags.keys()


def test_before_3_0_a_step_takes_the_longest_prompt_and_no_more_than_that() -> None:
    """launcher/src/main.rs of 2.4: else max_batch_size x max_input_tokens, which the cache lacks;
    router: `max_batch_prefill_tokens` must be >= `max_input_tokens`, <= `max_batch_total_tokens`."""

    def step(version: str, **fields: int) -> str | None:
        return given(container("tgi", version, **fields)).get("--max-batch-prefill-tokens")

    assert step("2.4.0", max_model_len=8192, max_num_seqs=64) == "8241"  # 8191 + 50
    assert step("2.4.0", max_model_len=8192, max_num_batched_tokens=2048) == "8241"
    assert step("2.4.0", max_model_len=8192, max_num_batched_tokens=16384) == "16384"
    assert step("2.4.0") == "4145"  # 4095 + 50
    assert step("3.3.7", max_model_len=8192, max_num_batched_tokens=2048) == "2048"
    assert step("3.3.7", max_model_len=8192) is None


def test_more_requests_at_once_than_a_replica_is_given_are_let_in() -> None:
    """Section 1.2: over --max-concurrent-requests it says 429; the known prompt needs room, too."""
    assert given(container("tgi", "3.3.7", max_num_seqs=500))["--max-concurrent-requests"] == "1000"


def test_ports_and_metrics() -> None:
    """Section 2: /metrics on the API's port; since 3.3 also a listener on 9000."""
    new, old = container("tgi", "3.3.7"), container("tgi", "2.4.0")
    assert new.ports == {"http": 3000, "metrics": 9000}
    assert old.ports == {"http": 3000, "metrics": 3000}
    assert new.metrics_path == old.metrics_path == "/metrics"


def test_image_and_cache() -> None:
    made = container("tgi", "2.4")
    assert made.image == "ghcr.io/huggingface/text-generation-inference:2.4.0"
    assert made.command == ("/tgi-entrypoint.sh",)
    assert made.env["HF_HUB_OFFLINE"] == "1"
    assert made.env["HUGGINGFACE_HUB_CACHE"] == made.env["HF_HOME"] == "/cache/huggingface"


def test_sigterm_drains_for_as_long_as_it_is_told_or_90_s() -> None:
    """Section 4: up to 90 s, fixed in 2.4, a flag in 3.3; no new connections meanwhile."""
    new = container("tgi", "3.3.7", lifecycle={"drain": "45s"}).drain
    old = container("tgi", "2.4.0", lifecycle={"drain": "45s"}).drain
    assert (new.inside, new.seconds, new.tells) == (True, 45, True)
    assert (old.inside, old.seconds, old.tells) == (True, 90, True)


def test_health_and_resume() -> None:
    """Sections 3 and 7: /health; text only, no token ids in, no partial message."""
    made = container("tgi", "3.3.7", lifecycle={"startup": "10m"})
    assert {p.path for p in (made.startup, made.readiness, made.liveness)} == {"/health"}
    assert made.startup.period * made.startup.failures == 600
    assert "after a failed generation" in made.readiness.means
    assert Tgi("3.3.7").resume == Resume(chat=False, token_ids=False)


def test_adapters_at_start_and_prefix_caching_beside_them() -> None:
    """Section 6: --lora-adapters at start only; they disable prefix caching unless it is set."""
    adapters = (LoraAdapter("a", Path("/l/a"), 8), LoraAdapter("b", Path("/l/b"), 8))
    made = container("tgi", "3.3.7", Spot(SPOT.model_path, SPOT.served_names, adapters=adapters))
    assert given(made)["--lora-adapters"] == "a=/l/a,b=/l/b"
    assert made.env["PREFIX_CACHING"] == "1"
    assert "PREFIX_CACHING" not in container("tgi", "3.3.7").env


def test_what_it_cannot_do() -> None:
    assert "vllm" in problems("tgi", "3.3.7", pipeline_parallel=2)["pipeline_parallel"]
    assert "exl2" in problems("tgi", "3.3.7", quantization="torchao")["quantization"]
    assert not problems("tgi", "3.3.7", quantization="exl2")
    assert "gpu_memory_utilization" in problems("tgi", "3.3.7", kv_cache="4GiB")["kv_cache"]
    found = problems("tgi", "3.3.7", NODES, tensor_parallel=16)
    assert "one node" in found["tensor_parallel"]
    flags = problems("tgi", "2.4", engine={"name": "tgi", "flags": {"payload_limit": 1}})
    assert "it came with 3.0" in flags["engine.flags.payload_limit"]
    port = problems("tgi", "3.3.7", engine={"name": "tgi", "flags": {"port": 1}})
    assert "engine.flags.port" in port


def test_flags_that_no_launcher_has_are_named() -> None:
    """All of them are fields of `Args` in launcher/src/main.rs; vLLM's are not among them."""
    names = {"max-best-off": 1, "enforce_eager": True, "max_best_of": 1, "rope-factor": 2.0}
    found = problems("tgi", "3.3.7", engine={"name": "tgi", "flags": names})
    assert found == {
        "engine.flags.max-best-off": (
            "TGI 3.3.7 has no --max-best-off; did you mean 'max-best-of'?"
        ),
        "engine.flags.enforce_eager": "TGI 3.3.7 has no --enforce-eager",
    }


def test_maintenance_is_said() -> None:
    """Section 0.5: in maintenance mode since 2025-12-11; the last tag is 3.3.7."""
    assert "2025-12" in Tgi("3.3.7").note
    assert "3.3.7" in Tgi("3.3.7").note
