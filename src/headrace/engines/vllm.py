"""vLLM: how one version is launched on a CPU or a GPU, and what its log lines mean.

Known from 0.8.5 (the V1 engine) to 0.33; a newer version is run as the newest known one, and what
it no longer takes it says itself (`last_words`). Flags by version are in `vllm_flags.py`, those of
LoRA adapters in `vllm_adapters.py`, metrics in `vllm_metrics.py`, log lines in `vllm_log.py`; the
packages that make it run in `environment.py`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from packaging.version import Version

from headrace.engines import pod, vllm_container, vllm_log
from headrace.engines.base import Launch, LoraAdapter, Placement, Resume
from headrace.engines.container import Container, Spot
from headrace.engines.vllm_adapters import adapter_arguments, adapter_flags, adapter_room
from headrace.engines.vllm_flags import (
    RULES,
    canonical,
    flag_arguments,
    flag_problems,
    has_flag,
    quantization_gone,
    quantization_unknown,
)
from headrace.engines.vllm_metrics import metric_sources
from headrace.fleet.document import Path_
from headrace.fleet.types import Deployment, Hardware, Scalar

OLDEST = "0.8.5"
CPU_BYTES_SINCE = "0.32"
"""From here on a CPU takes its KV cache in bytes (measured on 0.32.0); before, in whole GiB."""
IDS_SINCE = "0.10.2"
"""From here on a stream can carry its token ids."""
GIB = 2**30

QUICK_VERSIONS = frozenset({"0.32.0"})
"""Whose processes share one import on a CPU: it reaches into how they are spawned, so only where
that was tried. One rank only: OpenMP binds its threads when it is loaded, before ranks differ."""
PLAIN = "HEADRACE_PLAIN_START"
"""In `engine.env`: have vLLM start as it does by itself."""
_QUICK = Path(__file__).with_name("vllm_quick.py")

_OWNED_ENV = {
    "VLLM_CPU_KVCACHE_SPACE": "kv_cache",
    "VLLM_CPU_OMP_THREADS_BIND": "cores of the hardware",
    "VLLM_HOST_IP": "nothing: replicas listen on this machine only",
}


@dataclass(frozen=True)
class Vllm:
    """One version of vLLM."""

    version: str
    name: str = field(default="vllm", init=False)
    note: str = field(default="", init=False)
    stream_usage: bool = field(default=True, init=False)
    health_path: str = field(default="/health", init=False)
    metrics_path: str = field(default="/metrics", init=False)

    @property
    def resume(self) -> Resume:
        """Chats can be continued since before 0.8.5, token ids are given since 0.10.2."""
        return Resume(chat=True, token_ids=Version(self.version) >= Version(IDS_SINCE))

    def problems(self, deployment: Deployment, hardware: Hardware) -> Iterator[tuple[Path_, str]]:
        """Yield what this version cannot do, as (path below the deployment, sentence)."""
        if Version(self.version) < Version(OLDEST):
            message = (
                f"vLLM {self.version} is older than {OLDEST}, the oldest that Headrace can run"
            )
            yield ("engine", "version"), message
        for flag, message in flag_problems(deployment.engine.flags, self.version):
            yield ("engine", "flags", flag), message
        for name in deployment.engine.env.keys() & _OWNED_ENV.keys():
            yield ("engine", "env", name), f"Headrace sets this from {_OWNED_ENV[name]}; remove it"
        yield from pod.image_problems(deployment)
        yield from self._quantization_problems(deployment, hardware)
        nodes = vllm_container.NODES_SINCE
        if pod.spans_nodes(deployment, hardware) and Version(self.version) < Version(nodes):
            message = f"vLLM {self.version} needs Ray for several nodes; use {nodes} or newer"
            yield ("engine", "version"), message
        if hardware.kind == "cpu":
            yield from self._cpu_problems(deployment, hardware)

    def _quantization_problems(
        self, deployment: Deployment, hardware: Hardware
    ) -> Iterator[tuple[Path_, str]]:
        scheme, stock = deployment.quantization, deployment.engine.image is None
        if scheme is None:
            return
        message = quantization_gone(scheme, self.version)
        if message is None and stock and hardware.kind != "emulated":  # others may have a plugin
            message = quantization_unknown(scheme, self.version)
        if message:
            yield ("quantization",), message

    def _cpu_problems(
        self, deployment: Deployment, hardware: Hardware
    ) -> Iterator[tuple[Path_, str]]:
        if deployment.kv_cache is None and "kv_cache" not in deployment.open:
            wanted = "say how much memory a replica's KV cache may take, such as 1GiB"
            yield ("kv_cache",), f"{wanted}; left alone, vLLM takes 92% of this machine's memory"
        elif not self._cpu_bytes() and _kv(deployment) % (GIB * deployment.tensor_parallel):
            message = f"vLLM {self.version} takes whole GiB for each rank on a CPU"
            whole = f"{deployment.tensor_parallel}GiB"
            newer = f"vLLM {CPU_BYTES_SINCE} or newer"
            yield ("kv_cache",), f"{message}; use a multiple of {whole}, or {newer}"
        if hardware.cores is not None and hardware.cores < deployment.tensor_parallel:
            ranks = deployment.tensor_parallel
            message = f"{ranks} ranks need a core each; the hardware has {hardware.cores}"
            yield ("tensor_parallel",), message
        if deployment.pipeline_parallel > 1:
            why = "on a CPU its first request kills the engine (measured on 0.32.0)"
            yield ("pipeline_parallel",), f"{why}; use tensor_parallel"

    def launch(self, deployment: Deployment, hardware: Hardware, placement: Placement) -> Launch:
        """Return one replica's command and environment; CUDA_VISIBLE_DEVICES is the runtime's.

        ValueError if the deployment still has a field that says `auto`.
        """
        flags = self._all_flags(deployment, hardware, placement.adapters)
        env = self._environment(deployment, hardware, placement)
        env |= {name: (value, "engine.env") for name, value in deployment.engine.env.items()}
        argv = [
            *self._program(deployment, hardware, placement),
            *(a for n, (v, _) in flags.items() for a in flag_arguments(n, v)),
            *adapter_arguments(placement.adapters),
        ]
        reasons = {f"--{name}": why for name, (_, why) in flags.items()}
        reasons |= {name: why for name, (_, why) in env.items()}
        return Launch(tuple(argv), {name: value for name, (value, _) in env.items()}, reasons)

    def _program(
        self, deployment: Deployment, hardware: Hardware, placement: Placement
    ) -> list[str]:
        # The `vllm` command cannot run from vllm-cpu: it asks for a distribution named `vllm`.
        # The module can, and warns that it will go some day: no news to our users, so switched off.
        quiet = ["-W", "ignore::DeprecationWarning:__main__"]
        quick = self.starts_quickly(deployment, hardware) and bool(placement.cores)
        module = ["-P", str(_QUICK)] if quick else ["-m", "vllm.entrypoints.openai.api_server"]
        where = ["--host", placement.host, "--port", str(placement.port)]
        names = ["--served-model-name", *placement.served_names]
        model = ["--model", str(placement.model_path)]
        return [str(placement.python), *quiet, *module, *model, *names, *where]

    def starts_quickly(self, deployment: Deployment, hardware: Hardware) -> bool:
        """Whether its processes share one import (`vllm_quick.py`), which few settings allow."""
        known = self.version in QUICK_VERSIONS and hardware.kind == "cpu"
        return known and deployment.accelerators == 1 and PLAIN not in deployment.engine.env

    def container(self, deployment: Deployment, hardware: Hardware, spot: Spot) -> Container:
        """Return one replica in a Pod, or one Pod of a replica over several nodes.

        ValueError if the deployment still has a field that says `auto`.
        """
        flags = self._all_flags(deployment, hardware, spot.adapters)
        return vllm_container.container(
            *(self.version, deployment, hardware, spot),
            flags=flags,
            kv_environment=self._kv_environment(deployment, hardware),
        )

    def _all_flags(
        self, deployment: Deployment, hardware: Hardware, adapters: Sequence[LoraAdapter]
    ) -> dict[str, tuple[Scalar, str]]:
        flags = self._flags(pod.full(deployment), hardware) | adapter_flags(adapters)
        own = deployment.engine.flags
        return flags | {canonical(name): (own[name], "engine.flags") for name in own}

    def _flags(self, deployment: Deployment, hardware: Hardware) -> dict[str, tuple[Scalar, str]]:
        flags: dict[str, tuple[Scalar, str]] = {}
        if deployment.max_model_len is not None:
            flags["max-model-len"] = (deployment.max_model_len, "max_model_len")
        flags["max-num-seqs"] = (deployment.max_num_seqs, "max_num_seqs")
        if deployment.max_num_batched_tokens is not None:
            flags["max-num-batched-tokens"] = (
                deployment.max_num_batched_tokens,
                "max_num_batched_tokens",
            )
        if deployment.tensor_parallel > 1:
            flags["tensor-parallel-size"] = (deployment.tensor_parallel, "tensor_parallel")
        if deployment.pipeline_parallel > 1:
            flags["pipeline-parallel-size"] = (deployment.pipeline_parallel, "pipeline_parallel")
        if deployment.quantization:
            flags["quantization"] = (deployment.quantization, "quantization")
        if deployment.gpu_memory_utilization is not None:
            flags["gpu-memory-utilization"] = (
                deployment.gpu_memory_utilization,
                "gpu_memory_utilization",
            )
        if deployment.kv_cache is not None and (hardware.kind == "gpu" or self._cpu_bytes()):
            flags["kv-cache-memory-bytes"] = (_rank_share(deployment), "kv_cache, for each rank")
        if hardware.kind == "cpu":
            why = "two cores start in 33 s instead of the 114 s with torch.compile"
            flags["enforce-eager"] = (True, why)
        return flags | self._manners(deployment)

    def _manners(self, deployment: Deployment) -> dict[str, tuple[Scalar, str]]:
        quiet = "the gateway keeps the request log"
        flags: dict[str, tuple[Scalar, str]] = {"disable-uvicorn-access-log": (True, quiet)}
        if not has_flag("enable-log-requests", self.version):
            flags["disable-log-requests"] = (True, quiet)
        flags["enable-prompt-tokens-details"] = (True, "records say what the cache saved")
        if has_flag("enable-per-request-metrics", self.version) and not _without_stats(deployment):
            why = "records say how long a request waited inside the engine"
            flags["enable-per-request-metrics"] = (True, why)
        if has_flag("shutdown-timeout", self.version):
            drain = math.ceil(deployment.lifecycle.drain)
            flags["shutdown-timeout"] = (
                drain,
                "lifecycle.drain; by default a stop cuts every stream",
            )
        return flags

    def _environment(
        self, deployment: Deployment, hardware: Hardware, placement: Placement
    ) -> dict[str, tuple[str, str]]:
        env = {
            "HF_HUB_OFFLINE": ("1", "weights are verified and local; nothing is fetched at start"),
            "VLLM_NO_USAGE_STATS": ("1", "no reports to anyone"),
            "VLLM_HOST_IP": ("127.0.0.1", "ranks talk on this machine only"),
            # Else a folder `triton` where `headrace up` was started is taken for the package.
            "PYTHONSAFEPATH": ("1", "modules come from the engine's environment alone"),
        }
        if hardware.kind == "cpu" and placement.cores:
            bind = bind_threads(placement.cores, deployment.tensor_parallel)
            why = "all cores of the replica; left alone, vLLM keeps one for its server"
            env["VLLM_CPU_OMP_THREADS_BIND"] = (bind, why)
        return env | self._kv_environment(deployment, hardware)

    def _kv_environment(
        self, deployment: Deployment, hardware: Hardware
    ) -> dict[str, tuple[str, str]]:
        if hardware.kind != "cpu" or deployment.kv_cache is None or self._cpu_bytes():
            return {}
        share = str(_rank_share(deployment) // GIB)
        return {"VLLM_CPU_KVCACHE_SPACE": (share, "kv_cache, in GiB")}

    def _cpu_bytes(self) -> bool:
        return Version(self.version) >= Version(CPU_BYTES_SINCE)

    def answers_to(self, served_names: Sequence[str]) -> tuple[str, ...]:
        """Return all: each is a name of the model."""
        return tuple(served_names)

    def flag_absence(self, flag: str) -> str | None:
        """Return why this version does not take a flag, None if it may."""
        return RULES.absence(canonical(flag), self.version)

    def adapter_room(self, deployment: Deployment) -> int | None:
        """Return of how many adapters requests can run at once, if engine.flags says so."""
        return adapter_room(deployment)

    def phase(self, line: str) -> str | None:
        """Return the start-up phase that this log line begins, or None."""
        return vllm_log.phase(line)

    def kv_tokens(self, line: str) -> int | None:
        """Return the tokens that the KV cache holds if this log line tells them."""
        return vllm_log.kv_cache_tokens(line)

    def last_words(self, lines: Sequence[str]) -> str:
        """Return the reason of death from the log; empty if it gives none, as after SIGKILL."""
        return vllm_log.last_words(lines)

    def metric_sources(self) -> Mapping[str, Sequence[str]]:
        """Return this version's metric names by canonical name, the newest first."""
        return metric_sources(self.version)


def embeds(deployment: Deployment) -> bool:
    """Whether the deployment only embeds, as its engine flags say."""
    flags = {canonical(name): value for name, value in deployment.engine.flags.items()}
    return flags.get("runner") == "pooling" or "embed" in {flags.get("convert"), flags.get("task")}


def bind_threads(cores: Sequence[int], ranks: int) -> str:
    """Write which cores each rank uses, as in `0-1,3|4-5`; left-over cores go to the first."""
    size, rest = divmod(len(cores), ranks)
    if size == 0:
        return "|".join(str(cores[rank % len(cores)]) for rank in range(ranks))
    starts = [rank * size + min(rank, rest) for rank in range(ranks + 1)]
    return "|".join(_ranges(cores[first:end]) for first, end in itertools.pairwise(starts))


def _ranges(cores: Sequence[int]) -> str:
    parts: list[list[int]] = []
    for core in sorted(cores):
        if parts and core == parts[-1][-1] + 1:
            parts[-1].append(core)
        else:
            parts.append([core])
    return ",".join(f"{p[0]}-{p[-1]}" if len(p) > 1 else str(p[0]) for p in parts)


def _without_stats(deployment: Deployment) -> bool:
    """Whether the user switched the engine's statistics off, without which it tells no times."""
    flags = deployment.engine.flags
    return any(canonical(name) == "disable-log-stats" and flags[name] for name in flags)


def _kv(deployment: Deployment) -> int:
    return deployment.kv_cache or 0


def _rank_share(deployment: Deployment) -> int:
    return _kv(deployment) // deployment.tensor_parallel
