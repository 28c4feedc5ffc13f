"""Whether a request that failed on one replica is tried on another, and after which pause.

Pure: the gateway says how an attempt ended and carries out the verdict. A request that breaks
replicas is told from one that was merely there when they broke by how far it got: what kills an
engine kills it in the prefill or soon after, every time.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Fate = Literal["refused", "aborted", "failed", "broke", "silent", "moved", "stale"]
"""How an attempt ended: `refused` before the engine took it (no connection, overloaded), `aborted`
by the engine, as one that drains does, `failed` with a 5xx, `broke` off, `silent` for too long,
`moved` away by us, or never begun because an idle connection was `stale`. The last two say nothing
about the replica."""
BLAMELESS = frozenset(("moved", "stale"))
TURNED_AWAY = frozenset(("refused", "aborted"))

PATIENCE = 6
"""Barren attempts in a row that are too many, where one that was only refused counts half."""
MOST = 16
"""Attempts of one request that are never exceeded, whatever progress it makes."""
EARLY = 8
"""Tokens of an attempt within which a break is laid at the request's door."""
POISON = 2
"""Replicas that a request may break early."""
FIRST_PAUSE = 0.05
LONGEST_PAUSE = 2.0
"""Bounds of the jittered pause in seconds: a replica's streams must not all return at once."""


class Verdict(NamedTuple):
    """Try again after `pause` seconds, or stop because of `why` (then not empty)."""

    pause: float
    why: str = ""


class Attempts(NamedTuple):
    """What became of one request so far: attempts made, their barren weight in a row, kills."""

    made: int = 0
    barren: int = 0
    kills: int = 0

    def began(self) -> Attempts:
        """Return the state with one more attempt under way."""
        return Attempts(self.made + 1, self.barren, self.kills)

    def ended(self, fate: Fate, tokens: int, chance: float) -> tuple[Attempts, Verdict]:
        """Return the state after an attempt that brought `tokens`, and what to do.

        `chance` in [0, 1) spreads the pauses.
        """
        if fate in BLAMELESS:
            after = self._replace(made=self.made - 1) if fate == "stale" else self
            return after, Verdict(0.0, after.stop_reason())
        weight = 1 if fate in TURNED_AWAY else 2
        after = self._replace(
            barren=0 if tokens else self.barren + weight,
            kills=self.kills + (fate == "broke" and tokens < EARLY),
        )
        longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2**after.barren)
        return after, Verdict(chance * longest, after.stop_reason())

    def stop_reason(self) -> str:
        """Return why there is to be no further attempt, empty if there may be one."""
        if self.kills >= POISON:
            return f"{self.kills} replicas broke as soon as they had this request"
        if self.barren >= PATIENCE or self.made >= MOST:
            return f"{self.made} attempts were made"
        return ""
