"""trtllm-serve: TensorRT-LLM's own OpenAI server, on the PyTorch backend, from 0.20 to 1.3.

Parameters go into one YAML file, which overrides the command line: each can be said there, in every
version. What is the same for all engines is in `pod.py`, the YAML in `llm_yaml.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from packaging.version import Version

from headrace.engines import llm_yaml, pod
from headrace.engines.base import Resume
from headrace.engines.container import Container, Drain, Spot
from headrace.fleet.document import Path_
from headrace.fleet.types import Deployment, Hardware, Scalar

OLDEST = "0.20"
MANY_METRICS_SINCE = "1.2"
"""1.1 had five; which release brought the others is not known to the patch."""
PARAMETERS = "/etc/headrace/trtllm/parameters.yaml"
_PORT = 8000
RULES = llm_yaml.rules("trtllm-serve", {})
_FIRST = ("ttft", "tpot", "e2e", "success")


@dataclass(frozen=True)
class Trtllm:
    """One version of trtllm-serve."""

    version: str
    name: str = field(default="trtllm", init=False)
    stream_usage: bool = field(default=True, init=False)
    health_path: str = field(default="/health", init=False)
    metrics_path: str = field(default="/prometheus/metrics", init=False)
    resume: Resume = field(default=Resume(chat=False, token_ids=False), init=False)
    note: str = field(
        default="its gauges of running and waiting requests are brought up to date only when a "
        "request completes: do not scale on them",
        init=False,
    )

    def problems(self, deployment: Deployment, hardware: Hardware) -> Iterator[tuple[Path_, str]]:
        """Yield what this version cannot do, as (path below the deployment, sentence)."""
        yield from pod.common_problems("trtllm-serve", self.version, OLDEST, deployment, hardware)
        for flag, message in RULES.problems(deployment.engine.flags, self.version):
            yield ("engine", "flags", flag), message
        yield from pod.quantization_problem("trtllm-serve", self.version, deployment, frozenset())
        if pod.spans_nodes(deployment, hardware):
            message = "trtllm-serve needs MPI for several nodes; use vllm or sglang"
            yield ("pipeline_parallel",), message
        if deployment.adapters:
            message = "trtllm-serve wants a lora_request, which the gateway does not write"
            yield ("adapters",), f"{message}; use vllm or tgi"

    def container(self, deployment: Deployment, hardware: Hardware, spot: Spot) -> Container:
        """Return one replica; ValueError if the deployment still has a field that says `auto`."""
        del hardware
        given = _parameters(pod.full(deployment))
        env = pod.cache_environment(spot) | pod.own_environment(deployment)
        return Container(
            image=pod.image_of(
                deployment, f"nvcr.io/nvidia/tensorrt-llm/release:{pod.three(self.version)}"
            ),
            command=("trtllm-serve",),
            args=(
                *(spot.model_path, "--backend", "pytorch"),
                *("--host", pod.EVERYWHERE, "--port", str(_PORT)),
                *("--extra_llm_api_options", PARAMETERS),
            ),
            env=pod.values(env),
            ports={"http": _PORT, "metrics": _PORT},
            metrics_path=self.metrics_path,
            startup=pod.startup_probe(deployment, "/health", _HEALTH),
            readiness=pod.readiness_probe("/health", _HEALTH),
            liveness=pod.liveness_probe("/health", _HEALTH),
            drain=_DRAIN,
            files={PARAMETERS: llm_yaml.yaml_text(pod.values(given), "Arguments of LLM().")},
            reasons=_REASONS | pod.why(given) | pod.why(env),
        )

    def adapter_room(self, deployment: Deployment) -> None:
        """Return None: the gateway asks it for no adapter."""
        del deployment

    def answers_to(self, served_names: Sequence[str]) -> tuple[str, ...]:
        """Return all: trtllm-serve does not check the model of a request."""
        return tuple(served_names)

    def flag_absence(self, flag: str) -> str | None:
        """Return why this version does not take a flag, None if it may."""
        return RULES.absence(llm_yaml.canonical(flag), self.version)

    def metric_sources(self) -> Mapping[str, Sequence[str]]:
        """Return its metrics, which it has with `return_perf_metrics` only."""
        names = {
            "ttft": "time_to_first_token_seconds",
            "tpot": "time_per_output_token_seconds",
            "e2e": "e2e_request_latency_seconds",
            "success": "request_success_total",
            "running": "num_requests_running",
            "waiting": "num_requests_waiting",
            "kv_usage": "kv_cache_utilization",
            "prompt_tokens": "prompt_tokens_total",
            "generation_tokens": "generation_tokens_total",
        }
        many = Version(self.version) >= Version(MANY_METRICS_SINCE)
        return {n: (f"trtllm_{wire}",) for n, wire in names.items() if many or n in _FIRST}


_HEALTH = (
    "the executor finds nothing wrong; nothing is generated; while it loads, nobody listens or, in "
    "newer releases, everything is 503"
)
_DRAIN = Drain(
    inside=True,
    seconds=None,
    tells=True,
    note="uvicorn stops accepting and waits for open connections without a limit "
    "(serve/openai_server.py)",
)
_REASONS = {
    "--backend": "weights as they are, no compiled engine; older versions have another default",
    "--host": "its own default is localhost, where nobody reaches it",
    "--port": "its own default, said so that it stays",
    "--extra_llm_api_options": "the parameters; newer versions know it as --config, too",
}


def _parameters(deployment: Deployment) -> pod.Reasoned[Scalar]:
    own = deployment.engine.flags
    return {
        **llm_yaml.parameters(deployment),
        "return_perf_metrics": (True, "without it there is no /prometheus/metrics"),
        **{llm_yaml.canonical(name): (own[name], "engine.flags") for name in own},
    }
