"""Keeps the collector of cycles out of a measurement: a full collection takes milliseconds."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator

_YOUNG, _MIDDLE, _OLD = 10_000, 50, 1_000_000
"""Thresholds: what is made meanwhile is looked at now and then, what was there before never."""


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Collect now, and until the end of the block only what is new."""
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, _MIDDLE, _OLD)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
