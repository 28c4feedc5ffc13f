"""The demand of all gateways together, when some of them may be silent.

Silence is not idleness. A gateway that does not answer has the clients that it last had, for a
while; then nobody knows, and the sum is only what there is at least. `asking.py` fills these books,
`answers.py` reads them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from headrace.gateway.control import Demand
from headrace.gateway.demand import added

KEEP = 10.0
"""Seconds for which the last word of a gateway counts."""
FORGET = 300.0
"""Seconds after which a gateway that is silent and not ready has no clients any more: its node is
gone, or its container does not start."""


@dataclass(frozen=True)
class Total:
    """A deployment's work; with `unknown` (why) it has at least that much."""

    demand: Demand
    unknown: str = ""


@dataclass
class _Gateway:
    """What one gateway said last; times in seconds on the caller's clock."""

    serving: bool
    demands: Mapping[str, Demand]
    heard: float | None = None
    why: str = "it was not asked yet"


class FleetDemand:
    """What gateways said, by their Pods; `keep` is in seconds."""

    def __init__(self, keep: float = KEEP) -> None:
        self._keep = keep
        self._gateways: dict[str, _Gateway] = {}

    def see(self, gateways: Mapping[str, bool]) -> None:
        """Take which gateways there are, and whether each is ready; the others are gone."""
        for name, serving in gateways.items():
            self._gateways.setdefault(name, _Gateway(serving, {})).serving = serving
        for name in self._gateways.keys() - gateways.keys():
            del self._gateways[name]

    def heard(self, gateway: str, demands: Iterable[Demand], now: float) -> None:
        """Take what a gateway says of all its deployments."""
        one = self._gateways.get(gateway)
        if one is not None:
            one.demands = {demand.deployment: demand for demand in demands}
            one.heard, one.why = now, ""

    def failed(self, gateway: str, why: str) -> None:
        """Take note that it did not answer; what it said last stays."""
        if gateway in self._gateways:
            self._gateways[gateway].why = why

    def total(self, deployment: str, now: float) -> Total:
        """Return the sum over all gateways."""
        fresh = [one.demands for one in self._gateways.values() if self._is_fresh(one, now)]
        told = [demands[deployment] for demands in fresh if deployment in demands]
        silent = [
            f"gateway {name} {self._silence(self._gateways[name], now)}"
            for name in self.silent(now)
        ]
        return Total(added(deployment, told), _unknown(deployment, silent, told))

    def silent(self, now: float) -> list[str]:
        """Return the gateways that may have clients and whose last word is too old."""
        return sorted(
            name
            for name, one in self._gateways.items()
            if not self._is_fresh(one, now) and not self._has_no_clients(one, now)
        )

    @property
    def known(self) -> int:
        """How many gateways there are."""
        return len(self._gateways)

    def _is_fresh(self, one: _Gateway, now: float) -> bool:
        return one.heard is not None and now - one.heard <= self._keep

    @staticmethod
    def _has_no_clients(one: _Gateway, now: float) -> bool:
        """Whether it never served, or was silent and not ready for so long that it is over."""
        return not one.serving and (one.heard is None or now - one.heard > FORGET)

    @staticmethod
    def _silence(one: _Gateway, now: float) -> str:
        when = "never answered" if one.heard is None else f"is silent for {now - one.heard:.0f} s"
        return f"{when} ({one.why})"


def _unknown(deployment: str, silent: Sequence[str], told: Sequence[Demand]) -> str:
    if silent:
        return "; ".join(silent)
    return "" if told else f"no gateway that answers serves {deployment}"
