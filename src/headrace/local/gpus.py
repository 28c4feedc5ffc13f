"""Which GPUs replicas may use, by the names that CUDA_VISIBLE_DEVICES takes."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping

_QUERY = ("nvidia-smi", "--query-gpu=index", "--format=csv,noheader")


def read_gpus(environ: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Return the GPUs that the environment or the driver names; none where there is no driver."""
    given = environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return _names(given.replace(",", "\n"))
    try:
        done = subprocess.run(_QUERY, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return _names(done.stdout) if done.returncode == 0 else ()


def _names(lines: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in lines.splitlines() if name.strip())
