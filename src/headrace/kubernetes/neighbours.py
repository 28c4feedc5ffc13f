"""The other gateways of a fleet, whose requests count for the same limits.

Each Pod has its own books. While anything is limited, gateways tell each other twice a second what
they let in (`ledger/peers.py`); one that terminates still has requests, and is heard to its end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import httpx

from headrace.gateway.control import Key
from headrace.kubernetes.asking import Asking
from headrace.kubernetes.slices import Endpoint
from headrace.ledger.peers import Spending
from headrace.routing.route import Route


class Neighbours:
    """Calls `hear` with what each gateway tells, this one included."""

    def __init__(self, client: httpx.AsyncClient, hear: Callable[[Spending], None]) -> None:
        self._asking = Asking(client, "/usage", Spending, lambda _, told: hear(told))
        self._there: Mapping[str, Endpoint] = {}
        self._matter = False

    @property
    def failures(self) -> int:
        """How often one of them did not answer."""
        return self._asking.failures

    def see(self, there: Mapping[str, Endpoint]) -> None:
        """Take which gateways there are."""
        self._there = there
        self._ask()

    def obey(self, routes: Iterable[Route], keys: Iterable[Key]) -> None:
        """Ask them only while a route or a key has limits."""
        self._matter = any(one.limits for one in routes) or any(one.limits for one in keys)
        self._ask()

    def close(self) -> None:
        """Ask nobody any more."""
        self._asking.close()

    def _ask(self) -> None:
        self._asking.see(self._there if self._matter else {})
