"""The engines by the name that a fleet file gives them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from headrace.engines.container import ContainerEngine
from headrace.engines.sglang import Sglang
from headrace.engines.tgi import Tgi
from headrace.engines.triton import Triton
from headrace.engines.trtllm import Trtllm
from headrace.engines.vllm import Vllm
from headrace.fleet.types import EngineName

_ENGINES: Mapping[EngineName, Callable[[str], ContainerEngine]] = {
    "vllm": Vllm,
    "tgi": Tgi,
    "triton": Triton,
    "trtllm": Trtllm,
    "sglang": Sglang,
}


def engine_named(name: EngineName, version: str) -> ContainerEngine:
    """Return one version of an engine."""
    return _ENGINES[name](version)
