"""What every engine must be able to say; the seam between Headrace and the engines it runs.

An engine file answers questions and does nothing: how to launch, which start-up phase a log line
begins, what its metrics are called. The runtimes (`headrace.local`, later Kubernetes) act on the
answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from headrace.fleet.document import Path_
from headrace.fleet.types import Deployment, Hardware


@dataclass(frozen=True)
class LoraAdapter:
    """A LoRA adapter: the alias that requests name, its folder, the largest rank in it."""

    name: str
    path: Path
    rank: int


@dataclass(frozen=True)
class Placement:
    """What a runtime decides about one replica before it starts.

    `cores` are the CPU numbers that the replica may use; `python` is the interpreter that has the
    engine. Requests for one of `served_names` get the model itself.
    """

    python: Path
    model_path: Path
    served_names: tuple[str, ...]
    host: str
    port: int
    cores: tuple[int, ...]
    adapters: tuple[LoraAdapter, ...] = ()


@dataclass(frozen=True)
class Launch:
    """How to start one replica; `reasons` says for each flag or variable why it is there."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    reasons: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Resume:
    """How an engine can go on with an answer that another replica began.

    `chat`: it continues a partial assistant message (`continue_final_message`). `token_ids`: it
    gives token ids in a stream (`return_token_ids`) and takes them as a prompt.
    """

    chat: bool
    token_ids: bool


class Engine(Protocol):
    """One engine in one version."""

    @property
    def name(self) -> str:
        """The engine's name in a fleet file."""
        ...

    @property
    def version(self) -> str:
        """Its version, such as 0.32.0."""
        ...

    @property
    def stream_usage(self) -> bool:
        """Whether a stream can be asked for its token counts (`stream_options.include_usage`)."""
        ...

    @property
    def resume(self) -> Resume:
        """How it can go on with an answer that another replica began."""
        ...

    @property
    def health_path(self) -> str:
        """Where its API's port says that it is alive."""
        ...

    @property
    def metrics_path(self) -> str:
        """Where its API's port has Prometheus' page."""
        ...

    def problems(self, deployment: Deployment, hardware: Hardware) -> Iterator[tuple[Path_, str]]:
        """Yield what this version cannot do, as (path below the deployment, sentence)."""
        ...

    def adapter_room(self, deployment: Deployment) -> int | None:
        """Return of how many LoRA adapters requests can run at once; None: of all it has."""
        ...

    def metric_sources(self) -> Mapping[str, Sequence[str]]:
        """Return its metrics by canonical name, the first that is present counts.

        A name may be followed by one label, as in `name{label="value"}`.
        """
        ...


class LocalEngine(Engine, Protocol):
    """An engine that this machine can run as a process, and whose log it understands."""

    def launch(self, deployment: Deployment, hardware: Hardware, placement: Placement) -> Launch:
        """Return the command and environment of one replica."""
        ...

    def phase(self, line: str) -> str | None:
        """Return the start-up phase that this log line begins, or None.

        Phases in order: `import`, `load`, `kv cache`, `warm-up`, `serve`; the known prompt follows.
        """
        ...

    def kv_tokens(self, line: str) -> int | None:
        """Return the tokens that the KV cache holds if this log line tells them."""
        ...

    def last_words(self, lines: Sequence[str]) -> str:
        """Return the engine's own reason for dying from the end of its log, without traceback."""
        ...
