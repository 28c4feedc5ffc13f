"""Gateways that share no file tell each other what they let in: in a cluster, each in its own Pod.

    page = ledger.spending()              # what one tells, as often as others ask
    ledger.hear(page)                     # what another one told

Each tells what it has let in, in sums that only its own requests change and that begin anew when
all of a subject's use has flowed back: a message that was lost is made up for by the next. What is
new since its last message is charged here. Of one that was not heard before, or not for a while,
nobody knows when its sums came about; of it we take how full its buckets are, where ours are less
full. So nothing is charged twice, and a gateway that starts anew learns from the others what was
used before it.

Between two messages each lets in by what it knows: the limit is exceeded by what comes through the
others in that time, once. `books.py` charges; `kubernetes/asking.py` carries the messages.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from headrace.routing.allowance import Account
from headrace.routing.route import Limits

SILENT = 5.0
"""Seconds without a message after which a gateway's requests at present no longer count, and its
next message is like its first."""
_FORGET = 300.0
"""Seconds after which a gateway that is silent is forgotten."""


class Spent(msgspec.Struct, frozen=True):
    """What a subject with these limits has used.

    `requests` and `tokens` are sums of what one gateway let in; `running` are its requests at
    present. Of the limits per minute, `requests_used` and `tokens_used` were used up
    when the message was made, by all gateways as far as it knew.
    """

    limits: Limits
    requests: int
    tokens: int
    running: int
    requests_used: float
    tokens_used: float


Rows = dict[str, Spent]
"""By the name that a subject has in the books."""


class Spending(msgspec.Struct, frozen=True):
    """A gateway's message: what its subjects have used that is not all free again."""

    gateway: str
    rows: Rows


class News(NamedTuple):
    """What is to be charged to a subject, or if `level` up to which its buckets are to be full."""

    row: str
    limits: Limits
    requests: float
    tokens: float
    level: bool


class Tally:
    """What this gateway has let in."""

    def __init__(self) -> None:
        self._rows: dict[str, tuple[Limits, int, int]] = {}
        """Limits, requests and tokens."""

    def add(self, row: str, limits: Limits, requests: int, tokens: int) -> None:
        """Count; tokens are less than nothing where a prompt was estimated too long."""
        _, before, earlier = self._rows.get(row, (limits, 0, 0))
        self._rows[row] = (limits, before + requests, earlier + tokens)

    def told(self, account: Callable[[str], Account], running: Counter[str], now: float) -> Rows:
        """Return the rows of a message; those of which all is free again begin anew."""
        found: Rows = {}
        for row, (limits, requests, tokens) in list(self._rows.items()):
            used = account(row).in_use(limits, now)
            if not any(used) and not running[row]:
                del self._rows[row]
            else:
                found[row] = Spent(limits, requests, tokens, running[row], *used)
        return found


@dataclass
class _Peer:
    """A gateway as it was when it was heard last, in the ledger's time."""

    at: float
    sums: dict[str, tuple[int, int]] = field(default_factory=dict)
    running: dict[str, int] = field(default_factory=dict)


class Peers:
    """What the others told."""

    def __init__(self) -> None:
        self._peers: dict[str, _Peer] = {}
        self._running: Counter[str] = Counter()

    def running(self, row: str) -> int:
        """Return how many of a subject's requests the others have at present."""
        return self._running[row]

    def hear(self, told: Spending, now: float) -> Iterator[News]:
        """Take a message, and yield what is to be charged for it."""
        peer = self._peers.get(told.gateway)
        fresh = peer is not None and abs(now - peer.at) <= SILENT
        if peer is None:
            peer = self._peers[told.gateway] = _Peer(now)
        peer.at = now
        peer.running = {row: one.running for row, one in told.rows.items() if one.running > 0}
        self._count(now)
        before, peer.sums = (
            peer.sums,
            {r: (one.requests, one.tokens) for r, one in told.rows.items()},
        )
        for row, one in told.rows.items():
            if not fresh:
                yield News(row, one.limits, one.requests_used, one.tokens_used, level=True)
                continue
            requests, tokens = before.get(row, (0, 0))
            if one.requests < requests:  # its sums began anew meanwhile
                requests = tokens = 0
            if (one.requests, one.tokens) != (requests, tokens):
                more = (one.requests - requests, one.tokens - tokens)
                yield News(row, one.limits, *more, level=False)

    def tick(self, now: float) -> None:
        """Each second: no longer count the requests of those that are silent."""
        for gateway, peer in list(self._peers.items()):
            if abs(now - peer.at) > _FORGET:
                del self._peers[gateway]
        self._count(now)

    def _count(self, now: float) -> None:
        self._running = Counter()
        for peer in self._peers.values():
            if abs(now - peer.at) <= SILENT:
                self._running.update(peer.running)
