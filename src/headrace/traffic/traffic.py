"""Requests as `capacity` sees them: when they come, how long they are, what they share.

`importers.py` reads recorded traces, `declared.py` makes traffic from a few figures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headrace.traffic.sharing import Sharing

Counts = npt.NDArray[np.int64]
Seconds = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Traffic:
    """Requests in the order of their arrival; arrays of one length, at least 1.

    `arrivals` are seconds from the first one, `prompts` and `outputs` tokens.
    """

    arrivals: Seconds
    prompts: Counts
    outputs: Counts
    source: str
    """Where it is from, for people: a file's name, or `declared`."""
    notes: tuple[str, ...] = ()
    """What was left out or assumed while it was read, one sentence each."""
    sharing: Sharing | None = None
    """Which beginnings prompts share, where the trace says."""
    sessions: tuple[str, ...] = ()
    """Which conversation each request is of ("" for none), where the trace says."""

    @property
    def count(self) -> int:
        """How many requests."""
        return len(self.prompts)

    @property
    def duration(self) -> float:
        """Seconds from the first arrival to the last."""
        return float(self.arrivals[-1] - self.arrivals[0])

    @property
    def rate(self) -> float:
        """Mean requests a second; 0 if all came at once."""
        return (self.count - 1) / self.duration if self.duration else 0.0

    @property
    def totals(self) -> Counts:
        """Tokens of prompt and answer together, by request."""
        return self.prompts + self.outputs
