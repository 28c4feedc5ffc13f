"""What a deployment becomes on vLLM's command line and in its environment."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.engines.base import Launch, Placement
from headrace.engines.vllm import Vllm, bind_threads
from headrace.fleet.types import Deployment, Hardware

CPU = Hardware(kind="cpu")
GPU = Hardware(kind="gpu")
PLACE = Placement(Path("/env/bin/python"), Path("/m"), ("a", "b"), "127.0.0.1", 4001, (0, 1))


def deployment(**fields: Any) -> Deployment:
    base = {"model": "m", "hardware": "h", "kv_cache": "1GiB"}
    return Deployment.model_validate(base | fields)


def launch(version: str = "0.32.0", hardware: Hardware = CPU, **fields: Any) -> Launch:
    return Vllm(version).launch(deployment(**fields), hardware, PLACE)


def value(made: Launch, flag: str) -> str | None:
    return made.argv[made.argv.index(flag) + 1] if flag in made.argv else None


def problems(version: str = "0.32.0", hardware: Hardware = CPU, **fields: Any) -> dict[str, str]:
    found = Vllm(version).problems(deployment(**fields), hardware)
    return {".".join(map(str, path)): message for path, message in found}


def test_command_on_a_cpu() -> None:
    made = launch(max_model_len=2048, max_num_seqs=16, lifecycle={"drain": "30s", "grace": "40s"})
    assert made.argv[0] == "/env/bin/python"
    assert made.argv[3] == "-P"  # else the folder of the script is where `import vllm` looks
    assert made.argv[4].endswith("/headrace/engines/vllm_quick.py")
    names = made.argv.index("--served-model-name")
    assert made.argv[names + 1 : names + 4] == ("a", "b", "--host")
    assert value(made, "--model") == "/m"
    assert value(made, "--port") == "4001"
    assert value(made, "--max-model-len") == "2048"
    assert value(made, "--max-num-seqs") == "16"
    assert value(made, "--shutdown-timeout") == "30"
    assert value(made, "--kv-cache-memory-bytes") == "1073741824"
    assert "--enforce-eager" in made.argv
    assert "torch.compile" in made.reasons["--enforce-eager"]
    assert "--tensor-parallel-size" not in made.argv


@pytest.mark.parametrize(
    "other",
    [
        {"version": "0.31.0"},
        {"hardware": GPU, "kv_cache": None},
        {"tensor_parallel": 2},
        {"engine": {"env": {"HEADRACE_PLAIN_START": "1"}}},
    ],
)
def test_where_sharing_one_import_was_not_tried_the_start_is_a_plain_one(
    other: dict[str, Any],
) -> None:
    made = launch(**other)
    assert made.argv[3:5] == ("-m", "vllm.entrypoints.openai.api_server")


def test_environment_on_a_cpu() -> None:
    env = launch(engine={"env": {"MALLOC_ARENA_MAX": "2"}}).env
    assert env["VLLM_CPU_OMP_THREADS_BIND"] == "0-1"
    assert env["HF_HUB_OFFLINE"] == "1"
    assert env["VLLM_NO_USAGE_STATS"] == "1"
    assert env["MALLOC_ARENA_MAX"] == "2"
    assert "VLLM_CPU_KVCACHE_SPACE" not in env
    assert "CUDA_VISIBLE_DEVICES" not in env


def test_command_on_a_gpu() -> None:
    made = launch(
        hardware=GPU,
        kv_cache=None,
        gpu_memory_utilization=0.8,
        tensor_parallel=2,
        quantization="fp8",
    )
    assert value(made, "--gpu-memory-utilization") == "0.8"
    assert value(made, "--tensor-parallel-size") == "2"
    assert value(made, "--quantization") == "fp8"
    assert "--enforce-eager" not in made.argv
    assert "VLLM_CPU_OMP_THREADS_BIND" not in made.env


def test_every_flag_and_variable_has_a_reason() -> None:
    made = launch(tensor_parallel=2, engine={"flags": {"seed": 1}})
    set_by_us = [a for a in made.argv if a.startswith("--")]
    place = {"--model", "--served-model-name", "--host", "--port"}
    assert set(set_by_us) - place <= made.reasons.keys()
    assert made.env.keys() <= made.reasons.keys()


def test_kv_cache_is_shared_by_ranks() -> None:
    assert value(launch(tensor_parallel=2), "--kv-cache-memory-bytes") == str(2**29)


def test_older_cpu_versions_take_whole_gibibytes() -> None:
    made = launch("0.31.0", kv_cache="2GiB")
    assert made.env["VLLM_CPU_KVCACHE_SPACE"] == "2"
    assert "--kv-cache-memory-bytes" not in made.argv
    assert "multiple of 1GiB" in problems("0.31.0", kv_cache="1536MiB")["kv_cache"]
    assert not problems("0.32.0", kv_cache="1536MiB")


def test_quiet_logs_by_version() -> None:
    assert "--disable-log-requests" in launch("0.9.2", lifecycle={"drain": "0s"}).argv
    assert "--disable-log-requests" not in launch("0.16.0").argv


def test_user_flags_win_over_our_defaults() -> None:
    made = launch(engine={"flags": {"enforce-eager": False, "disable_uvicorn_access_log": False}})
    assert "--enforce-eager" not in made.argv
    assert "--no-enforce-eager" in made.argv
    assert "--no-disable-uvicorn-access-log" in made.argv
    assert made.reasons["--enforce-eager"] == "engine.flags"


def test_an_engine_that_cannot_drain_is_waited_for_outside_it() -> None:
    assert "lifecycle.drain" not in problems("0.17.1")
    assert "--shutdown-timeout" not in launch("0.17.1").argv
    assert not Vllm("0.9.2").resume.token_ids
    assert Vllm("0.10.2").resume.token_ids


def test_what_a_cpu_cannot_do() -> None:
    assert "1GiB" in problems(kv_cache=None)["kv_cache"]
    assert "first request" in problems(pipeline_parallel=2)["pipeline_parallel"]
    few = Hardware(kind="cpu", cores=1)
    assert "2 ranks" in problems(hardware=few, tensor_parallel=2)["tensor_parallel"]
    assert not problems(hardware=GPU, kv_cache=None)


def test_other_problems() -> None:
    assert "0.8.5" in problems("0.6.5", lifecycle={"drain": "0s"})["engine.version"]
    assert "0.24" in problems(quantization="gguf")["quantization"]
    assert not problems("0.23.0", quantization="gguf")
    owned = problems(engine={"env": {"VLLM_CPU_KVCACHE_SPACE": "2"}})
    assert "kv_cache" in owned["engine.env.VLLM_CPU_KVCACHE_SPACE"]
    assert (
        "gone since 0.18"
        in problems(engine={"flags": {"swap-space": 4}})["engine.flags.swap-space"]
    )


@pytest.mark.parametrize(
    ("cores", "ranks", "expected"),
    [
        ((0, 1), 1, "0-1"),
        ((0, 1), 2, "0|1"),
        ((0, 1, 2, 5), 1, "0-2,5"),
        ((0, 1, 2, 3, 4), 2, "0-2|3-4"),
        ((3,), 2, "3|3"),
    ],
)
def test_thread_binding(cores: tuple[int, ...], ranks: int, expected: str) -> None:
    assert bind_threads(cores, ranks) == expected


@given(st.sets(st.integers(0, 300), min_size=1, max_size=64), st.integers(1, 8))
def test_every_rank_gets_cores_and_every_core_is_used_once(cores: set[int], ranks: int) -> None:
    parts = bind_threads(tuple(sorted(cores)), ranks).split("|")
    assert len(parts) == ranks
    used = [core for part in parts for core in _expand(part)]
    assert set(used) <= cores
    if len(cores) >= ranks:
        assert sorted(used) == sorted(cores)


def _expand(part: str) -> list[int]:
    spans = [list(map(int, span.split("-"))) for span in part.split(",")]
    return [core for span in spans for core in range(span[0], span[-1] + 1)]
