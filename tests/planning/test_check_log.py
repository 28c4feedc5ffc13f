"""Log files as people hand them over: none, empty, a folder, of another engine, of a dead one."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.planning.check_log import LONGEST_LOG, read_log
from headrace.planning.errors import PlanError

DATA = Path(__file__).parents[1] / "engines" / "data"
BEGAN = "(APIServer pid=1) INFO [api_utils.py:286] non-default args: {'max_num_seqs': 8}\n"
VERSION = "INFO [core.py:133] Initializing a V1 LLM engine (v0.32.0) with config: model='/m',\n"
CACHE = "INFO [kv_cache_utils.py:2327] GPU KV cache size: 34,944 tokens, Maximum concurrency for 2,048 tokens per request: 17.06x\n"


def refusal(path: Path) -> str:
    with pytest.raises(PlanError) as caught:
        read_log(path)
    return str(caught.value)


def written(folder: Path, text: str) -> Path:
    path = folder / "engine.log"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_log_of_this_repository() -> None:
    said = read_log(DATA / "start_0_32_0.txt")
    assert (said.version, said.tokens) == ("0.32.0", 34_944)


def test_no_file_and_a_folder(tmp_path: Path) -> None:
    assert refusal(tmp_path / "no.log").endswith(
        "no.log: there is no such log; `headrace status --json` names the log of each replica"
    )
    (tmp_path / "b-1.log").touch()
    (tmp_path / "a-1.log").touch()
    (tmp_path / "other").touch()
    assert refusal(tmp_path).endswith("is a folder; name the log in it: a-1.log, b-1.log")


def test_nothing_in_it_yet(tmp_path: Path) -> None:
    assert "is empty: its engine has written nothing yet" in refusal(written(tmp_path, "\n"))
    assert "vLLM 0.32.0 is in phase import and says nothing of memory yet" in refusal(
        written(tmp_path, BEGAN + VERSION)
    )
    loading = "INFO [gpu_model_runner.py:4735] Starting to load model /m...\n"
    assert "is in phase load and" in refusal(written(tmp_path, BEGAN + VERSION + loading))


@pytest.mark.parametrize(
    ("text", "engine"),
    [
        ("[2026-01-02 03:04:05] server_args=ServerArgs(model_path='m', tp_size=1)", "SGLang"),
        ("2026-01-02T03:04:05Z  INFO text_generation_launcher: Args { model_id: m }", "TGI"),
        (
            "[TensorRT-LLM][INFO] Allocated 55.20 GiB for max tokens in paged KV cache",
            "TensorRT-LLM",
        ),
        ("llama_context: n_ctx_per_seq = 4096", "llama.cpp"),
        ("I1117 10:00:00.123 1 tritonserver.cc:2598] Triton server", "Triton"),
    ],
)
def test_another_engines_log(tmp_path: Path, text: str, engine: str) -> None:
    message = refusal(written(tmp_path, text))
    assert f"is a log of {engine}; only vLLM's can be compared with a plan" in message


def test_no_log_at_all(tmp_path: Path) -> None:
    assert "is no log of vLLM: no line of its start" in refusal(written(tmp_path, "hello\n" * 9))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("kv_too_big", "Available memory on node 0 (7.31/9.46 GiB) on kv cache allocation"),
        ("kv_too_small", "To serve at least one request with the model's max seq len (2048)"),
        ("bad_quant", "Unknown quantization method: gguf"),
    ],
)
def test_an_engine_that_died_says_why(name: str, words: str) -> None:
    message = refusal(DATA / f"death_{name}.txt")
    assert f"vLLM ended before it said anything of memory: {words}" in message


def test_only_the_beginning_of_a_long_log_is_read(tmp_path: Path) -> None:
    line = "INFO metrics.py: Avg prompt throughput: 1.0 tokens/s, Running: 3 reqs\n"
    much = line * (LONGEST_LOG // len(line) + 1)
    assert read_log(written(tmp_path, CACHE + much)).tokens == 34_944
    assert "is no log of vLLM" in refusal(written(tmp_path, much + CACHE))


def test_bytes_that_are_no_text_and_a_line_without_end(tmp_path: Path) -> None:
    path = tmp_path / "engine.log"
    path.write_bytes(b"\xff\x00" * 200_000 + b"\n" + CACHE.encode())
    assert read_log(path).tokens == 34_944


def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    loop = tmp_path / "loop.log"
    loop.symlink_to(loop)
    assert "cannot be read: Too many levels of symbolic links" in refusal(loop)
