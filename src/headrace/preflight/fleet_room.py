"""What a fleet's plan knows of starting at all: layouts, lengths, memory, as findings.

Only vLLM on GPUs is planned exactly enough for that; a model or product that nobody knows gives no
answer, and flags that change the memory none about it.
"""

from __future__ import annotations

from collections.abc import Iterator

from headrace.capacity.schemes import UNQUANTIZED
from headrace.engines.vllm_flags import needs_quantized_weights
from headrace.fleet.document import Path_
from headrace.fleet.load import FleetFile
from headrace.models.errors import WeightsError
from headrace.planning.auto import unstartable
from headrace.planning.errors import PlanError
from headrace.planning.subject import Subject, replica
from headrace.planning.unplanned import OTHER_MEMORY
from headrace.preflight.finding import Rule
from headrace.preflight.model import long_context
from headrace.preflight.rules.memory import AT_MAXIMUM, TOO_LARGE
from headrace.preflight.rules.reading import UNSTARTABLE


def check_room(file: FleetFile) -> Iterator[tuple[Rule, Path_, str]]:
    """Yield (rule, field, sentence) for each deployment of a file in which nothing is open."""
    for name, deployment in file.fleet.deployments.items():
        hardware = file.fleet.hardware[deployment.hardware]
        if hardware.kind == "gpu" and deployment.engine.name == "vllm":
            for rule, flag, message in _of_deployment(file, name):
                yield rule, ("deployments", name, flag), message


def _of_deployment(file: FleetFile, name: str) -> Iterator[tuple[Rule, str, str]]:
    try:
        one = replica(file, name)
        mistakes = [*unstartable(one), *_plain_weights(one)]
        yield from ((UNSTARTABLE, flag, why) for flag, why in mistakes)
        if not mistakes:
            yield from _memory(one)
    except (PlanError, WeightsError):  # too little is known; `headrace plan` says of what
        return


def _plain_weights(one: Subject) -> Iterator[tuple[str, str]]:
    asked, found = one.deployment.quantization, one.facts.weights.scheme
    if asked and needs_quantized_weights(asked) and found in UNQUANTIZED:
        made = "name weights that were, or make INT8 ones with `headrace weights quantize`"
        why = (
            f"the weights of {one.deployment.model} are {found}, not quantized as {asked} needs it"
        )
        yield "quantization", f"{why}: {made}; fp8 is made at start"


def _memory(one: Subject) -> Iterator[tuple[Rule, str, str]]:
    if one.flags.keys() & set(OTHER_MEMORY):
        return
    deployment = one.deployment
    if one.fit.impossible:
        yield TOO_LARGE, "max_model_len", f"{deployment.model} {one.fit.why}"
    elif message := long_context(deployment.max_model_len, one.architecture, one.fit):
        yield AT_MAXIMUM, "max_model_len", message
