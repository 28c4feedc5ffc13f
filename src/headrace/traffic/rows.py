"""From rows of a trace to `Traffic`: in order of arrival, counted from the first.

`tables.py` and `json_lines.py` yield the rows; what they leave out, and why, becomes a note.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from headrace.traffic.errors import TrafficError
from headrace.traffic.sharing import Sharing
from headrace.traffic.traffic import Counts, Seconds, Traffic

MOST_ROWS = 2_000_000


class Row(NamedTuple):
    """One request: seconds, tokens, tokens; its prompt's block hashes and conversation if known."""

    arrival: float
    prompt: int
    output: int
    hashes: Sequence[int] = ()
    session: str = ""


@dataclass
class Rows:
    """Collects the requests of one file; `left_out` counts those that are none, by the reason.

    `block` is how many tokens a hash of a prompt stands for, 0 where the format has none.
    """

    source: str
    block: int = 0
    arrivals: list[float] = field(default_factory=list)
    prompts: list[int] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)
    sessions: list[str] = field(default_factory=list)
    hashes: array[int] = field(default_factory=lambda: array("q"))
    ends: array[int] = field(default_factory=lambda: array("q"))
    left_out: Counter[str] = field(default_factory=Counter)

    def take(self, rows: Iterable[Row | str]) -> None:
        """Add all rows; a string says why one is left out."""
        for row in rows:
            if isinstance(row, str):
                self.left_out[row] += 1
            elif row.prompt and row.output:
                self._add(row)
            else:
                self.left_out["had no prompt or no answer, as failed requests have"] += 1
            if len(self.arrivals) > MOST_ROWS:
                raise TrafficError(
                    f"{self.source}: more than {MOST_ROWS:,} requests; a part is enough for a plan:"
                    f" head -n {MOST_ROWS} FILE"
                )

    def _add(self, row: Row) -> None:
        self.arrivals.append(row.arrival)
        self.prompts.append(row.prompt)
        self.outputs.append(row.output)
        self.sessions.append(row.session)
        self.hashes.extend(row.hashes)
        self.ends.append(len(self.hashes))

    def traffic(self, kind: str) -> Traffic:
        """Return what was collected; TrafficError if that is nothing."""
        notes = [f"read as {kind}", *(_counted(n, why) for why, n in self.left_out.items())]
        if not self.arrivals:
            raise TrafficError(f"{self.source}: no requests ({'; '.join(notes)})")
        arrivals: Seconds = np.array(self.arrivals)
        prompts: Counts = np.array(self.prompts, np.int64)
        outputs: Counts = np.array(self.outputs, np.int64)
        sharing, sessions = self._sharing(), tuple(self.sessions) if any(self.sessions) else ()
        if (np.diff(arrivals) < 0).any():
            order = np.argsort(arrivals, kind="stable")
            arrivals, prompts, outputs = arrivals[order], prompts[order], outputs[order]
            sharing = sharing and sharing.take(order)
            sessions = tuple(sessions[one] for one in order) if sessions else ()
            notes.append("the rows were not in order of arrival and have been sorted")
        return Traffic(
            arrivals - arrivals[0], prompts, outputs, self.source, tuple(notes), sharing, sessions
        )

    def _sharing(self) -> Sharing | None:
        """Return the hashes, if there are any."""
        if not self.hashes:
            return None
        return Sharing(self.block, np.array(self.hashes), np.array(self.ends))


def _counted(number: int, why: str) -> str:
    return f"{number:,} row{'s' if number > 1 else ''} left out: {why}"
