"""The capacity flags of a deployment, each with its value, whose it is, and why.

`auto.py` chooses those that the file leaves to the plan; here all of them are explained, for
`headrace plan`, `headrace explain` and whoever starts replicas.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Origin = Literal["file", "auto", "default"]
"""Who chose a value: the file, the plan (`auto`), or nobody: the default of Headrace or vLLM."""


@dataclass(frozen=True)
class Flag:
    """One flag of the deployment, as the file names it; `why` are sentences with figures."""

    name: str
    value: int | float | str
    origin: Origin
    why: str
    rests: str = ""
    """On which result it rests, or that it was not measured; empty where no result could say."""
    evidence: str | None = None
    """The id of that result, stale ones too."""

    @property
    def whose(self) -> str:
        """Say who chose it."""
        return {"file": "the file", "auto": "auto", "default": "the default"}[self.origin]

    @property
    def brief(self) -> str:
        """The first sentence of the reason; `headrace explain` has the rest."""
        return self.why.partition(". ")[0].partition("; ")[0]

    @property
    def written(self) -> str:
        """The value as people read it: bytes with their unit, counts with thousands."""
        if self.name == "kv_cache" and isinstance(self.value, int | float):
            return f"{self.value / 2**30:.3g} GiB"
        return f"{self.value:,}" if isinstance(self.value, int) else str(self.value)

    def __str__(self) -> str:
        """Write one line."""
        said = f"{self.name} = {self.written} ({self.whose}): {self.why}"
        return f"{said}. {self.rests[0].upper()}{self.rests[1:]}" if self.rests else said
