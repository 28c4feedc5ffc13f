"""Where Headrace keeps what it can fetch again: weights, and engine environments."""

from __future__ import annotations

import os
from pathlib import Path


def cache_root() -> Path:
    """Say where everything is kept that can be fetched again.

    `$HEADRACE_CACHE`, else `headrace` in `$XDG_CACHE_HOME` (only if absolute, as the XDG Base
    Directory Specification asks), else `~/.cache/headrace`. It may not exist yet.
    """
    if own := os.environ.get("HEADRACE_CACHE"):
        return Path(own).expanduser().absolute()
    shared = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(shared) if shared.startswith("/") else Path.home() / ".cache"
    return base / "headrace"


def weights_root() -> Path:
    """Say where the weight store is."""
    return cache_root() / "weights"
