"""Which packages make an engine run, pinned, where Headrace has tried them.

`headrace.local` builds one environment for each list and points `Placement.python` at it; where
there is none, the fleet file names a Python that has the engine (`engine.python`). The lists are in
`environments/`.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources

from headrace.fleet.types import Engine, Hardware


@dataclass(frozen=True)
class Environment:
    """A named list of pinned requirements, to be installed with `pip install --no-deps`."""

    name: str
    requirements: tuple[str, ...]


def requirements(engine: Engine, hardware: Hardware) -> Environment | None:
    """Return the environment for this engine on this hardware; None if Headrace ships none."""
    name = f"{engine.name}-{hardware.kind}-{engine.version}"
    file = resources.files(__package__) / "environments" / f"{name}.txt"
    if not file.is_file():
        return None
    lines = (line.strip() for line in file.read_text(encoding="utf-8").splitlines())
    return Environment(name, tuple(line for line in lines if line and not line.startswith("#")))
