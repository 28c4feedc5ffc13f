"""What the settings of a fleet file rest on, as findings: on nothing, on something stale.

Engine twins have no settings worth measuring, so their deployments are passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path

from headrace.capacity.schemes import UNQUANTIZED
from headrace.evidence.standing import Standing
from headrace.fleet.document import Path_
from headrace.fleet.load import FleetFile
from headrace.fleet.source import FileSource, parse_source
from headrace.fleet.types import Deployment
from headrace.models.errors import WeightsError
from headrace.models.look_up import look_up
from headrace.planning.settled import Settled
from headrace.planning.standing import Beside, Grounds
from headrace.preflight.finding import Rule
from headrace.preflight.fleet_starts import too_short
from headrace.preflight.rules.evidence import (
    AGAINST,
    DAMAGED,
    SHORT,
    STALE,
    UNCOMPARED,
    UNMEASURED,
    UNTRIED,
)
from headrace.starts.ledger import of_fleet
from headrace.starts.summary import summaries

Hit = tuple[Rule, Path_, str]
"""A rule, the field where it strikes, a sentence about it."""
_COUNTED: Mapping[str, str] = {
    "max_model_len": "context",
    "max_num_seqs": "baseline",
    "max_num_batched_tokens": "baseline",
    "kv_cache": "context",
    "gpu_memory_utilization": "baseline",
    "tensor_parallel": "parallel",
    "pipeline_parallel": "parallel",
}
"""Settings that should be measured where the file gives them, and the experiment that does."""
_GUESSES = re.compile(r"engine\.flags\.(num-)?(spec|speculate|speculative)([-.].*)?")
"""How engines call the flags of speculative decoding."""
_SCHEME = re.compile(
    r"(?<![a-z])(awq|gptq|w4a16|w8a8|w8a16|int[48]|fp[48]|nvfp4|mxfp4|bnb|[48]-?bit)(?![a-z])",
    re.IGNORECASE,
)
"""How names of weights say that somebody quantized them."""


def check_evidence(whole: Settled) -> Iterator[Hit]:
    """Yield what is to be said of all real deployments; LockError if the lock file is damaged."""
    file = whole.file
    beside = Beside(file.path)
    yield from ((DAMAGED, (), message) for message in beside.known.damaged)
    starts = summaries(of_fleet(file.fleet.fleet, file.path).starts)
    for name, deployment in file.fleet.deployments.items():
        if file.fleet.hardware[deployment.hardware].kind == "emulated":
            continue
        planned = frozenset(flag.name for flag in whole.chosen.get(name, ()))
        found = Grounds(file, name, deployment, beside, planned, here=False).standings
        for rule, setting, message in _of_deployment(file, deployment, found):
            yield rule, _field(name, setting), message
        for setting, message in too_short(name, deployment, starts):
            yield SHORT, _field(name, setting), message


def _field(name: str, setting: str) -> Path_:
    return ("deployments", name, *(setting.split(".", 2) if setting else ()))


def _of_deployment(
    file: FleetFile, deployment: Deployment, found: Mapping[str, Standing]
) -> Iterator[tuple[Rule, str, str]]:
    yield from _unmeasured(deployment, found)
    yield from _stale(found)
    for name, one in found.items():
        if one.basis == "against":
            yield AGAINST, name, f"{name}: {one}"
    guesses = [one for name, one in found.items() if _GUESSES.fullmatch(name)]
    if guesses and all(one.basis == "nothing" for one in guesses):
        name = guesses[0].setting
        yield UNTRIED, name, f"{name} is set, and no result beside the file is of it"
    scheme = quantized(file, deployment)
    if scheme and found["quantization"].basis == "nothing":
        field = "quantization" if deployment.quantization else "model"
        yield UNCOMPARED, field, f"weights in {scheme}, and nothing says what their answers are"


def _unmeasured(
    deployment: Deployment, found: Mapping[str, Standing]
) -> Iterator[tuple[Rule, str, str]]:
    """Yield one finding for all settings that the file gives and nothing speaks of."""
    said = deployment.model_fields_set
    names = [
        name
        for name in _COUNTED
        if name in said and name in found and found[name].basis == "nothing"
    ]
    if names:
        experiments = ", ".join(dict.fromkeys(_COUNTED[name] for name in names))
        yield (
            UNMEASURED,
            "",
            f"{_rest(names)} on no measurement; `headrace experiment` has {experiments}",
        )


def _stale(found: Mapping[str, Standing]) -> Iterator[tuple[Rule, str, str]]:
    """Yield one finding for each result and what changed since, however many settings it is of."""
    stale = [one for one in found.values() if one.basis == "stale"]

    def key(one: Standing) -> tuple[str, tuple[str, ...]]:
        return (one.evidence.id if one.evidence else "", one.why)

    for (id_, why), some in groupby(sorted(stale, key=key), key):
        names = [one.setting for one in some]
        message = f"{_rest(names)} on {id_}, which is stale: {'; '.join(why)}"
        yield STALE, names[0] if len(names) == 1 else "", message


def quantized(file: FleetFile, deployment: Deployment) -> str | None:
    """Return the scheme that somebody gave the weights after they were published, if one did.

    By the deployment's word, the name of the weights, or the configuration in their folder.
    """
    written = file.fleet.models[deployment.model].weights
    if deployment.quantization:
        return deployment.quantization
    if named := _SCHEME.search(written):
        return named[1]
    source = parse_source(written)
    if not isinstance(source, FileSource) or not (Path(source.path) / "config.json").is_file():
        return None
    try:
        scheme = look_up(source).weights.scheme
    except (WeightsError, OSError):  # what is wrong with the folder, a pull says
        return None
    return None if scheme in UNQUANTIZED else scheme


def _rest(names: list[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last} rest" if others else f"{last} rests"
