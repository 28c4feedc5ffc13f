"""Problems in a fleet file, each with its file, line and field; the shape every check reports in.

`load.py` and `checks.py` raise these; rooms above (engines, the command line) add their own through
`FleetFile.problem`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

_READABLE = 20
"""Names that somebody reads through; an engine has hundreds of flags."""


@dataclass(frozen=True)
class Problem:
    """One thing wrong: `field` is a dotted path, `line` starts at 1 (0: the file as a whole)."""

    file: Path
    line: int
    field: str
    message: str

    def __str__(self) -> str:
        """Write `file:line: field: message`, which editors turn into a link."""
        place = f"{self.file}:{self.line}" if self.line else str(self.file)
        return (
            f"{place}: {self.field}: {self.message}" if self.field else f"{place}: {self.message}"
        )


class FleetError(Exception):
    """The file cannot be used; `problems` lists every reason found, in the file's order."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: problem.line))
        super().__init__("\n".join(str(problem) for problem in self.problems))


def nearest(word: str, known: Iterable[str]) -> str:
    """Return a hint for a misspelt word: `; did you mean 'engine'?`, else `; known: …` of a few."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1)
    if close:
        return f"; did you mean '{close[0]}'?"
    return f"; known: {', '.join(names)}" if 0 < len(names) <= _READABLE else ""
