"""Which route a request belongs to, by the `model` field of its body.

The gateway builds one `RouteTable` for each configuration; `queue.py` is where a matched request
waits.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import NamedTuple


class Match(NamedTuple):
    """The route and the deployment that serve a model alias, and what becomes of broken streams.

    `continuation` is `text`, `exact` or `off`; `silence` in seconds counts as a break.
    """

    route: str
    deployment: str
    continuation: str = "text"
    silence: float = 30.0


class RouteTable:
    """Aliases and where they lead. An alias that two routes claim belongs to the first."""

    def __init__(self, entries: Iterable[tuple[str, Match]] = ()) -> None:
        self._matches: dict[str, Match] = {}
        for alias, match in entries:
            self._matches.setdefault(alias, match)

    @property
    def aliases(self) -> list[str]:
        """Every alias, in the order of the configuration."""
        return list(self._matches)

    def find(self, model: str) -> Match | None:
        """Return where `model` leads, or None."""
        return self._matches.get(model)

    def nearest(self, model: str) -> str | None:
        """Return the alias most like `model` (case ignored), or None when none is alike."""
        folded = {alias.casefold(): alias for alias in reversed(self._matches)}
        close = difflib.get_close_matches(model[:256].casefold(), folded, n=1, cutoff=0.5)
        return folded[close[0]] if close else None
