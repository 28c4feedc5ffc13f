"""The kinds of harm by name; apart from `harm.py` so that the command line starts fast."""

from __future__ import annotations

from typing import Literal

Kind = Literal["kill", "stop", "hang", "crash", "scale-down", "rollout", "gateway", "mixed"]
