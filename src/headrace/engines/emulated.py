"""Engine twins in place of an engine: `hardware: {kind: emulated}` of a fleet file.

A twin (`headrace.emulation`) speaks the wrapped engine's API in its version, so everything that
Headrace knows of that engine holds for its twin; only the command differs. Flags and environment of
the fleet file are checked as for the real engine and, but for --max-loras, not used.
`local/prepare.py` chooses between engine and twin on one machine.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version as installed

from headrace.engines import pod, vllm_log
from headrace.engines.base import Launch, LoraAdapter, Placement, Resume
from headrace.engines.container import Container, ContainerEngine, Spot
from headrace.engines.twin_flags import own_flags, pace_flags, port_flags
from headrace.fleet.document import Path_
from headrace.fleet.types import Deployment, Hardware

FAULTS = "HEADRACE_EMULATE"
"""The variable of `engine.env` that gives a twin faults from its start, as `POST /emulate` does."""
_PHASES = {"Loading weights": "load", "Serving on": "serve"}
"""How the log lines of twins begin, where they do not imitate vLLM's."""


@dataclass(frozen=True)
class Emulated:
    """The twin of one version of an engine."""

    real: ContainerEngine

    @property
    def name(self) -> str:
        """The engine's name in a fleet file."""
        return self.real.name

    @property
    def version(self) -> str:
        """The version that the twin imitates."""
        return self.real.version

    @property
    def note(self) -> str:
        """What to know before choosing it."""
        return "engine twins: nothing real answers here"

    @property
    def stream_usage(self) -> bool:
        """As the real engine."""
        return self.real.stream_usage

    @property
    def resume(self) -> Resume:
        """As the real engine."""
        return self.real.resume

    @property
    def health_path(self) -> str:
        """As the real engine."""
        return self.real.health_path

    @property
    def metrics_path(self) -> str:
        """As the real engine."""
        return self.real.metrics_path

    def problems(self, deployment: Deployment, hardware: Hardware) -> Iterator[tuple[Path_, str]]:
        """Yield what the real version could not do, so that the file holds for both."""
        yield from self.real.problems(deployment, hardware)
        if deployment.adapters and self.name == "tgi":
            yield ("adapters",), "twins of tgi have no adapters; those of vllm have"

    def launch(self, deployment: Deployment, hardware: Hardware, placement: Placement) -> Launch:
        """Return the command of one twin; it runs on the Python that runs Headrace."""
        flags = self._flags(deployment, hardware, {"http": placement.port})
        names = self._names(placement.host, placement.served_names, placement.adapters)
        command = (sys.executable, "-m", "headrace.emulation")
        return Launch((*command, *names, *_given(flags)), _faults(deployment), pod.why(flags))

    def container(self, deployment: Deployment, hardware: Hardware, spot: Spot) -> Container:
        """Return one twin in Headrace's own image; ports, probes and drain are the real one's."""
        real = self.real.container(deployment, hardware, spot)
        flags = self._flags(deployment, hardware, real.ports)
        return replace(
            real,
            image=pod.image_of(deployment, f"headrace:{installed('headrace')}"),
            command=("python", "-m", "headrace.emulation"),
            args=(
                *self._names(pod.EVERYWHERE, spot.served_names, spot.adapters),
                *_given(flags),
            ),
            env=_faults(deployment),
            files={},
            user=1000,
            reasons=pod.why(flags),
        )

    def _flags(
        self, deployment: Deployment, hardware: Hardware, ports: Mapping[str, int]
    ) -> pod.Reasoned[str]:
        return {
            **port_flags(self.name, ports),
            **pace_flags(deployment, hardware),
            **own_flags(self.name, self.version, deployment),
        }

    def _names(
        self, host: str, names: Sequence[str], adapters: Sequence[LoraAdapter]
    ) -> tuple[str, ...]:
        return (
            *("--engine", self.name, "--engine-version", self.version, "--host", host),
            *("--model", *names),
            *(part for adapter in adapters for part in ("--adapter", adapter.name)),
        )

    def answers_to(self, served_names: Sequence[str]) -> tuple[str, ...]:
        """As the real engine."""
        return self.real.answers_to(served_names)

    def flag_absence(self, flag: str) -> str | None:
        """As the real engine."""
        return self.real.flag_absence(flag)

    def adapter_room(self, deployment: Deployment) -> int | None:
        """As the real engine."""
        return self.real.adapter_room(deployment)

    def phase(self, line: str) -> str | None:
        """Return the start-up phase that this log line begins, or None."""
        own = (phase for words, phase in _PHASES.items() if line.startswith(words))
        return vllm_log.phase(line) or next(own, None)

    def kv_tokens(self, line: str) -> int | None:
        """Return the tokens that the KV cache holds if this log line tells them."""
        return vllm_log.kv_cache_tokens(line)

    def last_words(self, lines: Sequence[str]) -> str:
        """Return the reason of death from the log."""
        return vllm_log.last_words(lines)

    def metric_sources(self) -> Mapping[str, Sequence[str]]:
        """Return the wrapped version's metric names by canonical name."""
        return self.real.metric_sources()


def _given(flags: pod.Reasoned[str]) -> Iterator[str]:
    for flag, (value, _) in flags.items():
        yield flag
        if value:
            yield value


def _faults(deployment: Deployment) -> dict[str, str]:
    env = deployment.engine.env
    return {FAULTS: env[FAULTS]} if FAULTS in env else {}
