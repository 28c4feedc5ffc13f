"""What the HPA remembers between two syncs: what it recommended, and how it scaled.

The controller keeps this in memory, per HPA; a restart or a pause forgets it. Here the caller
carries it. The windows that read it are in `hpa` (recommendations) and `rates` (scale events).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from headrace.scaling.policy import DEFAULT_DOWN_WINDOW, Behavior, RatePolicy


class Stamped(NamedTuple):
    """A count of replicas at a time in seconds: a recommendation, or the size of a scale event."""

    at: float
    replicas: int


@dataclass(frozen=True, slots=True)
class History:
    """Raw recommendations, and the replicas that the HPA itself (not KEDA) added and removed."""

    recommendations: tuple[Stamped, ...] = ()
    ups: tuple[Stamped, ...] = ()
    downs: tuple[Stamped, ...] = ()

    def seeded(self, now: float, spec: int) -> History:
        """Return the history begun with the count that the first sync of all finds."""
        if self.recommendations:
            return self
        return replace(self, recommendations=(Stamped(now, spec),))

    def recommended(self, now: float, raw: int, behavior: Behavior | None) -> History:
        """Return the history with one more recommendation, less those that no window reaches."""
        horizon = max(behavior.up.window, behavior.down.window) if behavior else DEFAULT_DOWN_WINDOW
        kept = tuple(old for old in self.recommendations if old.at >= now - horizon)
        return replace(self, recommendations=(*kept, Stamped(now, raw)))

    def scaled(self, now: float, before: int, after: int, behavior: Behavior | None) -> History:
        """Return the history with one more scale event; without a behavior nobody would read it."""
        if behavior is None or before == after:
            return self
        if after > before:
            added = Stamped(now, after - before)
            return replace(self, ups=_stored(self.ups, added, behavior.up.policies))
        removed = Stamped(now, before - after)
        return replace(self, downs=_stored(self.downs, removed, behavior.down.policies))


def _stored(
    events: tuple[Stamped, ...], new: Stamped, policies: tuple[RatePolicy, ...]
) -> tuple[Stamped, ...]:
    """Return the events with the new one in place of the last outdated one (storeScaleEvent).

    Outdated means older than the longest period of its own direction, although the other direction
    may still count it over a longer one. We follow the controller in that, so that a forecast is
    what a cluster does.
    """
    cutoff = new.at - max(policy.period for policy in policies)
    outdated = [index for index, event in enumerate(events) if event.at < cutoff]
    if not outdated:
        return (*events, new)
    return (*events[: outdated[-1]], new, *events[outdated[-1] + 1 :])
