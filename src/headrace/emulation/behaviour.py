"""How a twin behaves: its pace and size, its engine's own options, and its faults.

Faults can change at any moment: `POST /emulate` with a JSON object replaces those that it names;
`engine.py` and the faces obey them.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Manner = Literal["abort", "error", "hang", "race"]
"""What a cut stream gets: an aborted choice, an error, nothing ever again, or one of those."""

Crash = Literal["model", "memory", "flag", "port"]
"""Which of vLLM's own last words a crash at start leaves in the log."""


class Faults(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What goes wrong; a count is the tokens of each request after which it happens."""

    wrong: bool = False
    """Answers garbage, as a model does whose weights are broken."""
    sick: bool = False
    """Health says 503."""
    fail: bool = False
    """Every completion gets a 500."""
    trims: bool = False
    """The chat template strips the last message, as Llama 3's does."""
    crash: bool = False
    """The engine worker dies now: an error in every stream, no health, then the process ends."""
    crash_exit: float = 11.0
    """Seconds from the worker's death to the process's (measured on vLLM 0.32.0)."""
    slow: float = 1.0
    """Factor on all times of work: ttft, tpot, prefill, and loading adapters."""
    crowding: float = 0.0
    """Seconds that each other running request adds to every token: a batch that is too large."""
    preempts: bool = False
    """The KV cache holds no more than it says: requests wait for room there, and are preempted."""
    no_metrics: bool = False
    """The metrics page is empty, as with `--disable-log-stats`."""
    stuck_metrics: bool = False
    """The metrics page stays as it was when this was first said."""
    crash_after: int | None = None
    die_after: int | None = None
    hang_after: int | None = None
    error_after: int | None = None
    abort_after: int | None = None
    reset_after: int | None = None
    garbage_after: int | None = None


class Behaviour(msgspec.Struct, frozen=True, kw_only=True):
    """A twin; times in seconds, lengths in tokens."""

    version: str = ""
    """The engine's version that is imitated, where versions differ; empty: the face's own."""
    names: tuple[str, ...] = ("twin",)
    ttft: float = 0.0
    """From the end of the prefill to the first token."""
    tpot: float = 0.0
    prefill: float = 0.0
    """For each 1000 prompt tokens that are not cached; prompts are prefilled one by one."""
    slots: int = 16
    max_model_len: int = 2048
    kv_tokens: int = 46_592
    block_size: int = 16
    """Of the prefix cache."""
    no_prefix_caching: bool = False
    """Every prompt is computed anew."""
    adapters: tuple[str, ...] = ()
    """vLLM: names of LoRA adapters, each of which is a model that can be asked for."""
    max_loras: int | None = None
    """vLLM: adapters that have room at once; None: all, as Headrace starts the real one."""
    adapter_load: float = 0.0
    """vLLM: what loading one takes."""
    enable_prompt_tokens_details: bool = False
    """vLLM: usage says how much of the prompt was cached."""
    embeds: bool = False
    """vLLM: serves `/v1/embeddings` and no completions."""
    shutdown_timeout: float = 0.0
    """vLLM: how long a stop drains; 0 cuts every stream."""
    max_num_queued_reqs: int | None = None
    """vLLM: how many may wait inside; beyond it 503."""
    cut: Manner | None = None
    """vLLM: what a cut stream gets; of the real one's outcomes, measured, `race` draws one.

    None: `abort`, and `race` before 0.18.
    """
    cut_after: float = 0.5
    """vLLM: seconds from a stop until streams are cut; the real one needs up to 2."""
    max_concurrent_requests: int = 128
    """TGI: beyond it 429."""
    prometheus_port: int | None = None
    """TGI: a second port with metrics; None: there is none."""
    graceful_termination_timeout: float = 90.0
    """TGI: how long a stop drains."""
    enable_metrics: bool = False
    """SGLang: has `/metrics`."""
    max_queued_requests: int | None = None
    """SGLang: beyond it `The request queue is full.`"""
    poll: float = 5.0
    """SGLang: seconds between two looks, while it stops, at whether requests are left."""
    probe: float = 1.0
    """SGLang: what an answer of `/health` takes at least."""
    return_perf_metrics: bool = False
    """trtllm-serve: has `/prometheus/metrics`."""
    answers_while_starting: bool = False
    """trtllm-serve, newer: listens while it loads, and answers everything with 503."""
    exit_timeout: float = 30.0
    """Triton: how long a stop drains."""
    metrics_port: int | None = 8002
    """Triton: where metrics are; 0 lets the system choose, None leaves them out."""
    openai_port: int | None = None
    """Triton: where its OpenAI front end is; None: there is none."""
    faults: Faults = Faults()

    @property
    def adapter_room(self) -> int:
        """How many adapters have room at once."""
        return len(self.adapters) if self.max_loras is None else self.max_loras


def change(faults: Faults, body: bytes) -> Faults:
    """Return the faults with those in a JSON object replaced; MsgspecError if it is wrong."""
    names = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    changed = msgspec.json.decode(body, type=Faults)
    return msgspec.structs.replace(faults, **{name: getattr(changed, name) for name in names})
