"""What a fleet file may say: the typed form of `fleet.yaml`, each field by itself.

Contradictions between fields are found in `checks.py`; reading the file and naming its lines is
`load.py`. Routes have a file of their own, `routes.py`. Defaults here are the ones a reviewer would
have to be told about anyway.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from headrace.fleet.auto import Open
from headrace.fleet.base import Name, Strict
from headrace.fleet.routes import Route
from headrace.fleet.source import parse_source
from headrace.fleet.units import Duration, Size


def _source_text(text: str) -> str:
    parse_source(text)
    return text


class KnownPrompt(Strict):
    """A prompt whose greedy answer is known by a wide margin; it decides who is ready."""

    prompt: str = Field(min_length=1, max_length=2000, description="Sent greedily.")
    answer: str = Field(
        min_length=1, max_length=200, description="What the answer must start with."
    )


class Model(Strict):
    """One set of weights."""

    weights: Annotated[str, AfterValidator(_source_text)] = Field(
        description="hf://org/name@revision, https://…, file:///… or wheel://package==version"
    )
    allow_pickle: bool = Field(
        default=False, description="Accept pickled weights, which can run code when loaded."
    )
    known_prompt: KnownPrompt | None = Field(
        default=None, description="Default: counting on from '1, 2, 3, 4, 5, 6,'."
    )


class Hardware(Strict):
    """Where replicas run."""

    kind: Literal["cpu", "gpu", "emulated"] = Field(
        description="emulated: engine twins, for drills; no weights, no engine, no answers."
    )
    cores: int | None = Field(
        default=None, ge=1, description="CPU cores for each replica; default: all."
    )
    product: str | None = Field(default=None, description="GPU product, such as NVIDIA-H200.")
    per_node: int | None = Field(
        default=None, ge=1, le=64, description="GPUs of a node; default: as usual for the product."
    )
    nodes: int = Field(default=1, ge=1, le=1000, description="Nodes that one replica may span.")
    hourly_price: float | None = Field(
        default=None,
        ge=0,
        allow_inf_nan=False,
        description="Of one GPU, or of a machine without; your own figure.",
    )
    ttft: Duration = Field(default=0.05, description="Of a twin: time to first token.")
    tpot: Duration = Field(default=0.02, description="Of a twin: time for each further token.")
    prefill: Duration = Field(
        default=0.0,
        description="Of a twin: time for each 1000 prompt tokens that are not cached, before ttft.",
    )
    kv_tokens: int = Field(
        default=46_592, ge=16, description="Of a twin: tokens that its KV cache holds."
    )
    start: Duration = Field(default=1.0, description="Of a twin: time to start.")


Scalar = str | int | float | bool
EngineName = Literal["vllm", "tgi", "triton", "trtllm", "sglang"]
ENGINE_VERSIONS: Mapping[str, str] = {
    "vllm": "0.32.0",
    "tgi": "3.3.7",
    "triton": "26.07",
    "trtllm": "1.2.1",
    "sglang": "0.5.23",
}
"""What runs where a file names no version."""


def _no_default(schema: dict[str, Any]) -> None:
    """Leave out of the schema a default that the class replaces before anybody sees it."""
    del schema["default"]


class Engine(Strict):
    """Which engine, in which version, with which further flags."""

    name: EngineName = Field(
        default="vllm", description="On one machine vllm only; of all, twins (hardware: emulated)."
    )
    version: Annotated[str, Field(pattern=r"^\d+\.\d+(\.\d+)?$")] = Field(
        default="",
        description="Of triton its container's, as 26.07. Default: "
        + ", ".join(f"{name} {version}" for name, version in ENGINE_VERSIONS.items()),
        json_schema_extra=_no_default,
    )
    image: str | None = Field(
        default=None,
        min_length=1,
        description="Its container, with a tag or digest; default: the version's own.",
    )
    python: Path | None = Field(
        default=None,
        description="A Python that has the engine; default: one that Headrace installs.",
    )
    flags: dict[str, Scalar] = Field(
        default_factory=dict, description="Further flags by name, without the leading dashes."
    )
    env: dict[str, str] = Field(default_factory=dict, description="Never secrets.")

    @model_validator(mode="before")
    @classmethod
    def _own_version(cls, data: Any) -> Any:
        """Fill in the version that goes with the name; a wrong name is the field's to refuse."""
        if not isinstance(data, dict) or "version" in data:
            return data
        name = data.get("name", "vllm")
        known = ENGINE_VERSIONS.get(name) if isinstance(name, str) else None
        return {**data, "version": known or ENGINE_VERSIONS["vllm"]}


class Trigger(Strict):
    """Scale so that the signal is `target` for each replica (KEDA's AverageValue)."""

    signal: Literal["waiting", "running", "demand"] = Field(
        description="Requests that wait, that run, or both."
    )
    target: float = Field(gt=0, description="Of the signal, for each replica.")
    activation: float = Field(default=0, ge=0, description="Wakes from zero above this value.")
    route: Name | None = Field(
        default=None, description="Only requests of this route; default: of all."
    )


class RatePolicy(Strict):
    """At most `value` replicas or percent in each `period`."""

    kind: Literal["replicas", "percent"]
    value: int = Field(gt=0)
    period: Duration


class ScalingDirection(Strict):
    """The HPA's behaviour upwards or downwards; unset parts take Kubernetes' defaults."""

    window: Duration | None = None
    policies: tuple[RatePolicy, ...] | None = None
    select: Literal["max", "min", "disabled"] = "max"


class Scaling(Strict):
    """How many replicas, by the rules of KEDA and the HPA."""

    min: int = Field(default=1, ge=0, le=1000, description="0: it may rest; a request wakes it.")
    max: int = Field(default=1, ge=1, le=1000)
    initial: int | None = Field(
        default=None,
        ge=0,
        description="Replicas to begin with; default: min, but one at least, to prove it.",
    )
    triggers: tuple[Trigger, ...] = Field(
        default=(Trigger(signal="waiting", target=5),),
        description="The one that asks for most replicas counts. waiting brings replicas, and"
        " demand beside it keeps them when the queue is empty.",
    )
    polling_interval: Duration = Field(
        default=30.0, description="KEDA's: how often it looks whether to wake or rest."
    )
    sync_period: Duration = Field(default=15.0, description="The HPA's; a cluster sets its own.")
    cooldown: Duration = Field(
        default=300.0, description="Idle time before the last replica stops."
    )
    up: ScalingDirection = ScalingDirection()
    down: ScalingDirection = ScalingDirection()


class Lifecycle(Strict):
    """How long starting and stopping may take."""

    startup: Duration = Field(default=600.0, description="Longest start until the known answer.")
    drain: Duration = Field(default=60.0, description="Longest wait for requests in flight.")
    grace: Duration = Field(default=90.0, description="From the first word to stop until SIGKILL.")


class Rollout(Strict):
    """How a changed deployment is judged before the next of its replicas is replaced."""

    watch: Duration = Field(
        default=30.0, description="How long each new replica serves before it is trusted."
    )
    slower: float = Field(
        default=1.5, ge=1, description="TTFT and TPOT (p95) may be this factor of the old ones'."
    )
    failures: float = Field(
        default=0.01, ge=0, le=1, description="Share of failures above the old ones' share."
    )


class Queue(Strict):
    """Bounds on waiting; beyond them a request is refused with 429 or 503."""

    limit: int = Field(default=256, ge=0, le=100_000, description="Waiting requests.")
    max_wait: Duration = Field(default=300.0, description="Longest wait of a request.")


class Adapter(Strict):
    """A LoRA adapter that the engine loads beside the model; its name is a model alias."""

    weights: Annotated[str, AfterValidator(_source_text)] = Field(
        description="As a model's; a folder in the format of PEFT."
    )


class Price(Strict):
    """What a deployment costs, in the fleet's own currency; records show it for each request."""

    input: float = Field(default=0, ge=0, description="For a million prompt tokens.")
    cached: float | None = Field(
        default=None, ge=0, description="For a million of them from the cache; default: as input."
    )
    output: float = Field(default=0, ge=0, description="For a million generated tokens.")


class Balancing(Strict):
    """Which replica takes a request."""

    prefix_affinity: bool = Field(
        default=True, description="Prefer the replica that has the prompt's beginning cached."
    )
    slow_start: Duration = Field(
        default=10.0, description="Time in which a new replica comes to its full share of work."
    )


class Deployment(Open):
    """One variant of a model on one engine; capacity flags may be `auto`: the plan chooses."""

    model: Name = Field(description="One of the models.")
    hardware: Name = Field(description="One of the hardware entries.")
    engine: Engine = Engine()
    max_model_len: int | None = Field(default=None, ge=16, description="Tokens, prompt and answer.")
    max_num_seqs: int = Field(
        default=64, ge=1, le=65536, description="Requests at once on a replica."
    )
    max_num_batched_tokens: int | None = Field(
        default=None, ge=1, le=1_048_576, description="Tokens of one step; default: the engine's."
    )
    kv_cache: Size | None = Field(default=None, description="KV cache of a replica (CPU).")
    gpu_memory_utilization: float | None = Field(
        default=None, gt=0, le=1, description="Share of a GPU's memory that the engine may use."
    )
    tensor_parallel: int = Field(
        default=1, ge=1, le=64, description="Accelerators that share each layer of a replica."
    )
    pipeline_parallel: int = Field(
        default=1, ge=1, le=64, description="Groups of them that have the layers in turn."
    )
    quantization: str | None = Field(
        default=None, description="As the engine names it; default: what the weights say."
    )
    adapters: dict[Name, Adapter] = Field(
        default_factory=dict, description="LoRA adapters by the alias that requests name."
    )
    price: Price | None = None
    balancing: Balancing = Balancing()
    scaling: Scaling = Scaling()
    lifecycle: Lifecycle = Lifecycle()
    rollout: Rollout = Rollout()
    queue: Queue = Queue()

    @property
    def accelerators(self) -> int:
        """Accelerators of one replica."""
        return self.tensor_parallel * self.pipeline_parallel


class Records(Strict):
    """How much is remembered of requests; the oldest goes first."""

    max_age: Duration = Field(default=7 * 86400.0, ge=60)
    max_size: Size = Field(default=2**30, ge=2**20)


class Traces(Strict):
    """Where spans of requests go, by OpenTelemetry's conventions for generative AI."""

    endpoint: str = Field(
        pattern=r"^https?://[^\s]+$", description="OTLP over HTTP, as http://localhost:4318."
    )


class Gateway(Strict):
    """Where the OpenAI-compatible address is."""

    host: str = Field(default="127.0.0.1", description="0.0.0.0: everybody who can reach it.")
    port: int = Field(default=8080, ge=0, le=65535, description="0: the system chooses.")
    admin_host: str = Field(default="127.0.0.1", description="Where /metrics is.")
    admin_port: int = Field(default=8081, ge=0, le=65535, description="0: the system chooses.")
    keys: Path | None = Field(
        default=None, description="File of API keys (`headrace keys`); default: nobody is asked."
    )
    records: Records = Records()
    traces: Traces | None = None


class Fleet(Strict):
    """The whole file."""

    fleet: Name = Field(description="The fleet's name.")
    models: dict[Name, Model] = Field(min_length=1)
    hardware: dict[Name, Hardware] = Field(min_length=1)
    deployments: dict[Name, Deployment] = Field(min_length=1)
    routes: dict[Name, Route] = Field(min_length=1)
    gateway: Gateway = Gateway()
