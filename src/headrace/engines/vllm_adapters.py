"""How vLLM is told of LoRA adapters at its start.

The flags are the same from 0.8.5 to 0.33. Adapters are loaded before the first request, so one that
does not fit the model ends the start with vLLM's own words. `vllm.py` adds these to the command.
"""

from __future__ import annotations

from collections.abc import Sequence

from headrace.engines.base import LoraAdapter
from headrace.engines.vllm_flags import canonical
from headrace.fleet.types import Deployment, Scalar

_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""What --max-lora-rank takes (config/lora.py of 0.32.0; versions up to 0.10 end at 256)."""


def adapter_flags(adapters: Sequence[LoraAdapter]) -> dict[str, tuple[Scalar, str]]:
    """Return the flags by name with the reason of each; --max-loras may be set in engine.flags."""
    if not adapters:
        return {}
    rank = max(adapter.rank for adapter in adapters)
    return {
        "enable-lora": (True, "adapters"),
        "max-loras": (len(adapters), "adapters: all of them may share a batch"),
        "max-lora-rank": (_allowed(rank), f"adapters: their largest rank is {rank}"),
    }


def adapter_arguments(adapters: Sequence[LoraAdapter]) -> list[str]:
    """Return which adapters there are: the one flag that takes several values."""
    if not adapters:
        return []
    return ["--lora-modules", *(f"{adapter.name}={adapter.path}" for adapter in adapters)]


def adapter_room(deployment: Deployment) -> int | None:
    """Return what engine.flags says of --max-loras, None where all adapters have room."""
    flags = {canonical(name): value for name, value in deployment.engine.flags.items()}
    room = flags.get("max-loras", "")
    return int(room) if deployment.adapters and str(room).isdigit() else None


def _allowed(rank: int) -> int:
    """Return the next value that vLLM takes; above the highest it refuses in its own words."""
    return next((allowed for allowed in _RANKS if allowed >= rank), rank)
