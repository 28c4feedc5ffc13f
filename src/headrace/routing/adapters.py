"""Which LoRA adapters a replica has loaded, where it has no room for all of its deployment's.

An engine runs requests of so many adapters at once; a request of yet another one waits in the
engine until one of them has none running, and then for its own to be loaded. So requests go where
their adapter is, for as long as that is the cheaper way. Judged by what was sent, as `prefix.py`
judges caches; `queue.py` asks before `choose.py` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headrace.routing.choose import Place


LOADING = 4096
"""What loading an adapter is worth, in tokens of prefill that wait: 0.25 s for an 8B model on one
large GPU. One with so many more of them waiting is loaded by another replica, too."""
OTHERS = 65_536
"""The same for waiting until an adapter that has the room has nothing running: 4 s."""


@dataclass(slots=True)
class Slots:
    """One replica's: `room` adapters at once (None: all), and how many requests of each run.

    Those that are loaded and not running count 0; the longest unused one is the first of them.
    """

    room: int | None = None
    loaded: dict[str, int] = field(default_factory=dict)

    def wait(self, adapter: str) -> int:
        """Return what a newcomer with this adapter has to wait for: 0, `LOADING` or `OTHERS`."""
        if self.room is None or adapter in self.loaded:
            return 0
        return LOADING if len(self.loaded) < self.room or 0 in self.loaded.values() else OTHERS

    def enter(self, adapter: str) -> None:
        """Take note of a request that the replica got."""
        running = self.loaded.pop(adapter, None)
        if running is None and self.room is not None and len(self.loaded) >= self.room:
            unused = next((name for name, count in self.loaded.items() if not count), None)
            self.loaded.pop(unused or "", None)
        self.loaded[adapter] = (running or 0) + 1

    def leave(self, adapter: str) -> None:
        """Take note that it is over; whoever waited for its room gets that."""
        self.loaded[adapter] -= 1
        if not self.loaded[adapter] and self.room is not None and len(self.loaded) > self.room:
            del self.loaded[adapter]


def places_for(adapter: str, places: Mapping[str, Place]) -> Mapping[str, Place]:
    """Return the replicas, by id, among which a request of an adapter is to be served.

    Where no replica has it, any will do: its engine says so, and nobody waits behind it.
    """
    having = {name: p for name, p in places.items() if p.ready and adapter not in p.lacks}
    if not [p for p in having.values() if p.slots.room is not None]:
        return having or places  # as usual: all have room for all
    waits = {name: place.slots.wait(adapter) for name, place in having.items()}
    able = [
        (place.load + waits[name], waits[name])
        for name, place in having.items()
        if place.running < place.room and place.health.trusted
    ]
    _, longest = min(able, default=(0, OTHERS))
    return {
        name: place
        for name, place in having.items()
        if waits[name] <= longest or not place.health.trusted  # it may need a probe
    }
