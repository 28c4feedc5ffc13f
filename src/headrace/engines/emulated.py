"""Engine twins in place of an engine: `hardware: {kind: emulated}` of a fleet file.

A twin (`headrace.emulation`) speaks the wrapped engine's API in its version, so everything that
Headrace knows of that engine holds for its twin; only the command differs. Flags and environment of
the fleet file are checked as for the real engine and, but for --max-loras, not used.
`local/prepare.py` chooses between engine and twin.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from headrace.engines.base import Launch, Placement, Resume
from headrace.engines.vllm import Vllm, embeds
from headrace.engines.vllm_flags import has_flag
from headrace.fleet.document import Path_
from headrace.fleet.types import Deployment, Hardware

FAULTS = "HEADRACE_EMULATE"
"""The variable of `engine.env` that gives a twin faults from its start, as `POST /emulate` does."""


@dataclass(frozen=True)
class EmulatedVllm:
    """The twin of one version of vLLM."""

    real: Vllm

    @property
    def name(self) -> str:
        """The engine's name in a fleet file."""
        return self.real.name

    @property
    def version(self) -> str:
        """The version that the twin imitates."""
        return self.real.version

    @property
    def stream_usage(self) -> bool:
        """As the real engine."""
        return self.real.stream_usage

    @property
    def resume(self) -> Resume:
        """As the real engine."""
        return self.real.resume

    def problems(self, deployment: Deployment, hardware: Hardware) -> Iterator[tuple[Path_, str]]:
        """Yield what the real version could not do, so that the file holds for both."""
        return self.real.problems(deployment, hardware)

    def launch(self, deployment: Deployment, hardware: Hardware, placement: Placement) -> Launch:
        """Return the command of one twin; it runs on the Python that runs Headrace."""
        argv = [
            *(sys.executable, "-m", "headrace.emulation"),
            *("--engine", self.name, "--engine-version", self.version),
            *("--host", placement.host, "--port", str(placement.port)),
            *("--model", *placement.served_names),
            *(part for adapter in placement.adapters for part in ("--adapter", adapter.name)),
        ]
        flags = self._flags(deployment, hardware)
        for flag, (value, _) in flags.items():
            argv += [flag, value] if value else [flag]
        env = {FAULTS: deployment.engine.env[FAULTS]} if FAULTS in deployment.engine.env else {}
        return Launch(tuple(argv), env, {flag: why for flag, (_, why) in flags.items()})

    def _flags(self, deployment: Deployment, hardware: Hardware) -> dict[str, tuple[str, str]]:
        flags = {
            "--ttft": (f"{hardware.ttft:g}", "ttft of the hardware, in seconds"),
            "--tpot": (f"{hardware.tpot:g}", "tpot of the hardware, in seconds"),
            "--prefill": (f"{hardware.prefill:g}", "prefill of the hardware, in seconds"),
            "--kv-tokens": (str(hardware.kv_tokens), "kv_tokens of the hardware"),
            "--enable-prompt-tokens-details": ("", "records say what was cached"),
            "--startup": (f"{hardware.start:g}", "start of the hardware, in seconds"),
            "--slots": (str(deployment.max_num_seqs), "max_num_seqs"),
        }
        if deployment.max_model_len is not None:
            flags["--max-model-len"] = (str(deployment.max_model_len), "max_model_len")
        if (room := self.adapter_room(deployment)) is not None:
            flags["--max-loras"] = (str(room), "engine.flags")
        if has_flag("shutdown-timeout", self.version):
            drain = str(math.ceil(deployment.lifecycle.drain))
            flags["--shutdown-timeout"] = (drain, "lifecycle.drain")
        if embeds(deployment):
            flags["--embeds"] = ("", "engine.flags")
        return flags

    def adapter_room(self, deployment: Deployment) -> int | None:
        """As the real engine."""
        return self.real.adapter_room(deployment)

    def phase(self, line: str) -> str | None:
        """Return the start-up phase that this log line begins, or None."""
        return self.real.phase(line)

    def kv_tokens(self, line: str) -> int | None:
        """Return the tokens that the KV cache holds if this log line tells them."""
        return self.real.kv_tokens(line)

    def last_words(self, lines: Sequence[str]) -> str:
        """Return the reason of death from the log."""
        return self.real.last_words(lines)

    def metric_sources(self) -> Mapping[str, Sequence[str]]:
        """Return the wrapped version's metric names by canonical name."""
        return self.real.metric_sources()
