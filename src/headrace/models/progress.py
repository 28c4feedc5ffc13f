"""How a long piece of work tells a terminal, a log or a test how far it is.

Only data goes out; drawing is for `headrace.cli`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Step = Literal["wait", "resolve", "fetch", "retry", "convert", "verify", "publish"]


@dataclass(frozen=True)
class Progress:
    """One step's state: `done` of `total` bytes of `item`; `total` is None while unknown.

    `note` is a sentence for a person, such as why we wait.
    """

    step: Step
    item: str
    done: int = 0
    total: int | None = None
    note: str = ""


Listener = Callable[[Progress], None]


def silent(_: Progress) -> None:
    """Listen to nothing."""
