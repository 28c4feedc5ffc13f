"""Copies of requests for a deployment on trial: answered like any other, heard by nobody.

A copy is made only when a replica could take it at once, so it delays nobody and holds no more
bodies than replicas have room. `headrace compare` shows what its records say.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headrace.gateway.errors import Failure
    from headrace.gateway.request import Headers


class Nobody:
    """The audience of a copy; `over` is called when its answer has ended, however it did."""

    chunked = False
    stays_open = True

    def __init__(self, over: Callable[[], object]) -> None:
        self._over: Callable[[], object] | None = over

    def write(self, data: bytes) -> None:
        """Throw a part of the answer away."""

    def refuse(self, failure: Failure, known: Headers) -> None:  # noqa: ARG002  Audience's
        """End."""
        self._end()

    def answered(self, *, close: bool = False) -> None:  # noqa: ARG002  Audience's
        """End."""
        self._end()

    def abort(self) -> None:
        """End."""
        self._end()

    def _end(self) -> None:
        """Call `over` once, and forget it: it may know the copy, which holds this."""
        over, self._over = self._over, None
        if over is not None:
            over()
