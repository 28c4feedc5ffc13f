"""Start-up phases and last words, against logs recorded from vLLM 0.32.0 (paths shortened)."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.engines.vllm import Vllm
from headrace.engines.vllm_log import kv_cache_tokens, last_words, phase

DATA = Path(__file__).parent / "data"

DEATHS = {
    "missing_model": "HFValidationError: Repo id must be in the form 'repo_name' or "
    "'namespace/repo_name': '/models/nope'. Use `repo_type` argument if needed.",
    "unknown_flag": "unrecognized arguments: --swap-space",
    "kv_too_big": "Available memory on node 0 (7.31/9.46 GiB) on kv cache allocation is less than "
    "requested memory for kv (64.0 GiB). Decrease --kv-cache-memory-bytes, VLLM_CPU_KVCACHE_SPACE, or "
    "reduce CPU memory used by other processes.",
    "tp_heads": "Total number of attention heads (9) must be divisible by tensor parallel size (2).",
    "truncated": "SafetensorError: Error while deserializing header: incomplete metadata, file not "
    "fully covered",
    "port_in_use": "OSError: [Errno 98] Address already in use",
}
BEGINNINGS = {
    "empty_model": "Invalid repository ID or local directory specified: '/models/empty'.",
    "too_long": "User-specified max_model_len (100000) is greater than the derived max_model_len",
    "kv_too_small": "To serve at least one request with the model's max seq len (2048), (0.04 GiB KV "
    "cache is needed, which is larger than the available KV cache memory (0.03 GiB).",
    "bad_quant": "Unknown quantization method: gguf. Must be one of ['awq',",
}


def recorded(name: str) -> list[str]:
    return (DATA / f"{name}.txt").read_text().splitlines()


def test_phases_of_a_recorded_start() -> None:
    seen = [found for line in recorded("start_0_32_0") if (found := phase(line))]
    assert seen == ["import", "load", "kv cache", "warm-up", "serve"]


def test_kv_cache_of_a_recorded_start() -> None:
    """768 MiB at 23,040 bytes a token in blocks of 128: 273 blocks."""
    told = [t for line in recorded("start_0_32_0") if (t := kv_cache_tokens(line)) is not None]
    assert told == [273 * 128]


def test_kv_cache_line_of_a_gpu() -> None:
    line = "INFO [kv_cache_utils.py:830] GPU KV cache size: 327,680 tokens"
    assert kv_cache_tokens(line) == 327_680
    assert phase(line) == "warm-up"


def test_a_good_start_has_no_last_words() -> None:
    assert last_words(recorded("start_0_32_0")) == ""
    assert last_words([]) == ""


@pytest.mark.parametrize("name", DEATHS)
def test_last_words_are_the_sentence_that_matters(name: str) -> None:
    assert Vllm("0.32.0").last_words(recorded(f"death_{name}")) == DEATHS[name]


@pytest.mark.parametrize("name", BEGINNINGS)
def test_long_last_words_begin_with_the_reason(name: str) -> None:
    words = last_words(recorded(f"death_{name}"))
    assert words.startswith(BEGINNINGS[name])
    assert len(words) <= 500
    assert "input_value" not in words
    assert "Traceback" not in words


def test_missing_engine_is_said() -> None:
    words = last_words(["/usr/bin/python3: Error while finding module specification for 'vllm.x'"])
    assert words == "Error while finding module specification for 'vllm.x'"


@given(st.lists(st.text(max_size=200), max_size=20))
def test_any_log_is_survived(lines: list[str]) -> None:
    assert len(last_words(lines)) <= 500
    for line in lines:
        phase(line)
        kv_cache_tokens(line)
