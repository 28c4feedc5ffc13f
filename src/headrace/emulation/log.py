"""Lines that vLLM 0.32.0 prints, so that what reads an engine's log reads the twin's."""

from __future__ import annotations

from headrace.emulation.behaviour import Behaviour, Crash

_WORKER_DIED = (
    "RuntimeError: Engine core initialization failed. See root cause above. "
    "Failed core proc(s): {'EngineCore': 1}"
)


def phases(behaviour: Behaviour, port: int) -> list[str]:
    """Return the line that begins each start-up phase, the last when the port is open."""
    tokens, longest = behaviour.kv_tokens, behaviour.max_model_len
    many = tokens / longest
    size = f"CPU KV cache size: {tokens:,} tokens"
    most = f"Maximum concurrency for {longest:,} tokens per request: {many:.2f}x"
    return [
        _line("APIServer", "api_utils.py:286", f"non-default args: {{'port': {port}}}"),
        _line(
            "Worker", "cpu_model_runner.py:68", f"Starting to load model {behaviour.names[0]}..."
        ),
        _line("Worker", "default_loader.py:501", "Loading weights took 0.66 seconds"),
        _line("EngineCore", "kv_cache_utils.py:2327", f"{size}, {most}"),
        _line("APIServer", "entry.py:140", f"Starting vLLM server on http://127.0.0.1:{port}"),
    ]


def last_words(crash: Crash) -> list[str]:
    """Return what a real engine leaves in its log when it cannot start."""
    match crash:
        case "model":
            return [
                "Traceback (most recent call last):",
                "pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig",
                "  Value error, Invalid repository ID or local directory: '/models/none'.",
                " [type=value_error, input_value=ArgsKwargs((), {}), input_type=ArgsKwargs]",
                "    For further information visit https://errors.pydantic.dev/2.14/v/value_error",
            ]
        case "memory":
            reason = (
                "ValueError: Available memory on node 0 (7.31/9.46 GiB) on kv cache allocation is "
                "less than requested memory for kv (64.0 GiB). Decrease --kv-cache-memory-bytes, "
                "VLLM_CPU_KVCACHE_SPACE, or reduce CPU memory used by other processes."
            )
            worker = _line("Worker", "multiproc_executor.py:1063", reason, level="ERROR")
            return [worker, "Traceback (most recent call last):", _WORKER_DIED]
        case "flag":
            return ["api_server.py: error: unrecognized arguments: --swap-space"]
        case "port":
            return ["OSError: [Errno 98] Address already in use"]


def _line(process: str, place: str, text: str, level: str = "INFO") -> str:
    return f"({process} pid=1) {level} 11-23 21:10:35 [{place}] {text}"
