"""LoRA adapters of a twin: few have room at once, the longest unused one makes room for another.

As vLLM's scheduler does it: requests of one batch use at most `max_loras` adapters; a request of
yet another one waits while others pass it. `prefill.py` takes the time that a load needs.
"""

from __future__ import annotations

from collections import Counter, OrderedDict


class Adapters:
    """What is loaded, and what running requests use; the name of the base model is empty."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._loaded: OrderedDict[str, None] = OrderedDict()
        self._running: Counter[str] = Counter()

    @property
    def running(self) -> list[str]:
        """Adapters of running requests."""
        return list(self._running)

    def admits(self, name: str) -> bool:
        """Whether a request of this adapter may run now."""
        return not name or name in self._running or len(self._running) < self._most

    def enter(self, name: str) -> None:
        """Count a request that runs from now on."""
        if name:
            self._running[name] += 1

    def leave(self, name: str) -> None:
        """Forget it."""
        if name:
            self._running[name] -= 1
            if not self._running[name]:
                del self._running[name]

    def load(self, name: str) -> bool:
        """Have it loaded; return whether it was not yet."""
        if not name:
            return False
        if name in self._loaded:
            self._loaded.move_to_end(name)
            return False
        while len(self._loaded) >= self._most:
            unused = (one for one in self._loaded if one not in self._running)
            del self._loaded[next(unused, next(iter(self._loaded)))]
        self._loaded[name] = None
        return True
