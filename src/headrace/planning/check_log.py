"""What an engine's log file says of memory; if nothing, what the file is instead."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from headrace.engines.vllm_log import last_words, phase
from headrace.engines.vllm_memory_log import MemorySaid, memory_said
from headrace.planning.errors import PlanError

LONGEST_LOG = 16 * 2**20
"""Bytes that are read: a start says everything in its first, and a long life is not of interest."""
LONGEST_LINE = 32 * 2**10
_OTHERS = {
    "SGLang": ("server_args=ServerArgs", "max_total_num_tokens=", "sglang."),
    "TGI": ("text_generation_launcher", "text_generation_router"),
    "TensorRT-LLM": ("[TensorRT-LLM]", "[TRT-LLM]"),
    "llama.cpp": ("llama_model_loader:", "llama_context:", "llama_kv_cache"),
    "Triton": ("tritonserver", "triton/core"),
    "Ollama": ("llama runner started", "source=routes.go"),
    "Headrace's emulated engine": ("headrace.emulation",),
}
_WHERE = "`headrace status --json` names the log of each replica"


def read_log(path: Path) -> MemorySaid:
    """Return what vLLM's log at `path` says of memory; PlanError, with what to do, if nothing."""
    said = memory_said(_lines(path))
    if said.silent:
        raise PlanError(_silence(path, said))
    return said


def _lines(path: Path) -> Iterator[str]:
    """Yield the lines of the beginning of a file, long ones in pieces."""
    try:
        with path.open("rb") as file:
            while file.tell() < LONGEST_LOG and (line := file.readline(LONGEST_LINE)):
                yield line.decode(errors="replace").rstrip("\r\n")
    except FileNotFoundError as error:
        raise PlanError(f"{path}: there is no such log; {_WHERE}") from error
    except IsADirectoryError as error:
        raise PlanError(f"{path} is a folder; name the log in it{_inside(path)}") from error
    except OSError as error:
        raise PlanError(f"{path} cannot be read: {error.strerror}") from error


def _inside(folder: Path) -> str:
    names = sorted(one.name for one in folder.glob("*.log*"))[:5]
    return f": {', '.join(names)}" if names else ""


def _silence(path: Path, said: MemorySaid) -> str:
    """Return why nothing is said of memory there."""
    lines = list(_lines(path))
    if not any(line.strip() for line in lines):
        return f"{path} is empty: its engine has written nothing yet"
    other = next((name for name, marks in _OTHERS.items() if _has(lines, marks)), None)
    reached = next(filter(None, map(phase, reversed(lines))), None)
    if said.version is None and reached is None and not _has(lines, ("vllm",)):
        if other is not None:
            return f"{path} is a log of {other}; only vLLM's can be compared with a plan"
        return f"{path} is no log of vLLM: no line of its start is in it; {_WHERE}"
    if words := last_words(lines):
        return f"{path}: vLLM ended before it said anything of memory: {words}"
    version = f"vLLM {said.version}" if said.version else "vLLM"
    return f"{path}: {version} is in phase {reached or 'import'} and says nothing of memory yet"


def _has(lines: list[str], marks: tuple[str, ...]) -> bool:
    return any(mark in line for line in lines for mark in marks)
