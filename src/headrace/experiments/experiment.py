"""What an experiment is: it measures, then concludes, and the second knows nothing but figures.

So a conclusion can be tested with made-up figures, and what was measured until somebody pressed
Ctrl-C is concluded from as well. `catalogue.py` has all experiments, `perform.py` runs one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

import msgspec

from headrace.experiments.case import Case
from headrace.experiments.finding import Conclusion
from headrace.experiments.lab import Lab


class Effort(StrEnum):
    """How much is measured: more repeats and requests make smaller differences certain."""

    QUICK = "quick"
    NORMAL = "normal"
    LONG = "long"


S = TypeVar("S", bound=msgspec.Struct)
"""The settings of an experiment: a frozen struct, each field a knob of `--set`."""
P = TypeVar("P", bound=msgspec.Struct)
"""What it measures, one after the other."""


@dataclass(frozen=True)
class Experiment(Generic[S, P]):
    """One experiment.

    `question` is what it answers, in a line; `copies` whether it starts changed copies, which needs
    a fleet file; `measure` appends to its list as it goes, `conclude` takes what is there.
    `settings` are the knobs by effort.
    """

    name: str
    question: str
    copies: bool
    settings: Mapping[Effort, S]
    measure: Callable[[Lab, S, list[P]], Awaitable[None]]
    conclude: Callable[[Sequence[P], Case], Conclusion]
