"""Triton with TensorRT-LLM's LLM API behind Triton's own OpenAI front end.

`version` is the release of NVIDIA's container, as 26.07: its tag, and what Triton, front end and
TensorRT-LLM in it are known by. The gateway speaks OpenAI, so the front end serves, and Triton runs
inside its process. The model repository is in `triton_repository.py`; why it looks as it does is in
docs/decisions/0014-engines.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from headrace.engines import llm_yaml, pod, triton_repository
from headrace.engines.base import Resume
from headrace.engines.container import Container, Drain, Spot
from headrace.fleet.document import Path_
from headrace.fleet.types import Deployment, Hardware

OLDEST = "25.02"
"""The first whose container is known to have the front end in it."""
FRONT_END = "/opt/tritonserver/python/openai/openai_frontend/main.py"
_PORT = 9000
RULES = llm_yaml.rules("Triton", {})
_REQUESTS = "nv_trt_llm_request_metrics"


@dataclass(frozen=True)
class Triton:
    """One release of Triton's container."""

    version: str
    name: str = field(default="triton", init=False)
    stream_usage: bool = field(default=True, init=False)
    health_path: str = field(default="/health/ready", init=False)
    metrics_path: str = field(default="/metrics", init=False)
    resume: Resume = field(default=Resume(chat=False, token_ids=False), init=False)
    note: str = field(
        default="its front end gives one choice, no log probabilities, and `stop` as every finish "
        "reason; it knows one name of the model, which cannot have a slash",
        init=False,
    )

    def problems(self, deployment: Deployment, hardware: Hardware) -> Iterator[tuple[Path_, str]]:
        """Yield what this version cannot do, as (path below the deployment, sentence)."""
        yield from pod.common_problems("Triton", self.version, OLDEST, deployment, hardware)
        for flag, message in RULES.problems(deployment.engine.flags, self.version):
            yield ("engine", "flags", flag), message
        yield from pod.quantization_problem("Triton", self.version, deployment, frozenset())
        if pod.spans_nodes(deployment, hardware):
            message = "Triton needs MPI for several nodes; use vllm or sglang"
            yield ("pipeline_parallel",), message
        if deployment.adapters:
            message = "Triton's front end cannot name an adapter with TensorRT-LLM's LLM API"
            yield ("adapters",), f"{message}; use vllm or tgi"

    def container(self, deployment: Deployment, hardware: Hardware, spot: Spot) -> Container:
        """Return one replica; ValueError if the deployment still has a field that says `auto`."""
        del hardware
        given = triton_repository.parameters(pod.full(deployment))
        env = pod.cache_environment(spot) | pod.own_environment(deployment)
        (name,) = self.answers_to(spot.served_names)
        return Container(
            image=pod.image_of(
                deployment, f"nvcr.io/nvidia/tritonserver:{self.version}-trtllm-python-py3"
            ),
            command=("python3", FRONT_END),
            args=(
                *("--model-repository", triton_repository.ROOT, "--tokenizer", spot.model_path),
                *("--backend", "tensorrtllm"),
                *("--host", pod.EVERYWHERE, "--openai-port", str(_PORT)),
            ),
            env=pod.values(env),
            ports={"http": _PORT, "metrics": _PORT},
            metrics_path=self.metrics_path,
            startup=pod.startup_probe(deployment, self.health_path, _HEALTH),
            readiness=pod.readiness_probe(self.health_path, _HEALTH),
            liveness=pod.liveness_probe(self.health_path, _HEALTH),
            drain=_DRAIN,
            files=triton_repository.repository(name, spot.model_path, given),
            reasons=_REASONS | pod.why(given) | pod.why(env),
        )

    def adapter_room(self, deployment: Deployment) -> None:
        """Return None: the gateway asks it for no adapter."""
        del deployment

    def answers_to(self, served_names: Sequence[str]) -> tuple[str, ...]:
        """Return the one name under which the model is loaded, the first that can be a folder."""
        return (*triton_repository.folder_names(served_names), "model")[:1]

    def flag_absence(self, flag: str) -> str | None:
        """Return why this version does not take a flag, None if it may."""
        return RULES.absence(llm_yaml.canonical(flag), self.version)

    def metric_sources(self) -> Mapping[str, Sequence[str]]:
        """Return its metrics; Triton's own times are in other units than seconds and left out."""
        return {
            "running": (f'{_REQUESTS}{{request_type="active"}}',),
            "waiting": (f'{_REQUESTS}{{request_type="waiting"}}',),
            "success": ("nv_inference_request_success",),
        }


_HEALTH = (
    "Triton has loaded its model, before which nobody listens; nothing is generated, so a model "
    "that hangs is ready all the same"
)
_DRAIN = Drain(
    inside=True,
    seconds=None,
    tells=True,
    note="uvicorn stops accepting and waits for open connections without a limit; Triton then "
    "waits for what is in flight and unloads (openai_frontend/main.py; measured on 2.51.0)",
)
_REASONS = {
    "--model-repository": "one model, which takes what the front end sends",
    "--tokenizer": "chat templates",
    "--backend": "which tensors the front end sends",
    "--host": "the gateway and the probes reach it on every address of its Pod",
    "--openai-port": "its own default, said so that it stays",
}
