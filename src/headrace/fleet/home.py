"""Where a fleet keeps what it writes on this machine: a folder of its own for each fleet file.

The local runtime fills it (`headrace.local.state`); what plans or reports read of it is found here.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path


def state_root(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder of all fleets: $HEADRACE_STATE, else below $XDG_STATE_HOME or the home."""
    if environ.get("HEADRACE_STATE"):
        return Path(environ["HEADRACE_STATE"]).absolute()
    if environ.get("XDG_STATE_HOME"):
        return Path(environ["XDG_STATE_HOME"]).absolute() / "headrace"
    return Path.home() / ".local" / "state" / "headrace"


def fleet_home(fleet: str, file: Path, root: Path | None = None) -> Path:
    """Return the folder of the fleet in `file`: its name and 8 digits of the path's hash."""
    digest = hashlib.sha256(os.fsencode(file.resolve())).hexdigest()[:8]
    return (root or state_root()) / f"{fleet}-{digest}"
