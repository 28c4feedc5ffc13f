"""What a load is to consist of, as it stands in run.json; `workload.py` makes the requests of it.

`workload_words.py` reads the parts that people write on a command line.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from headrace.traffic.arrivals import Arrivals


class Length(msgspec.Struct, frozen=True):
    """Tokens: log-normal by these two quantiles, or always the same where they are equal."""

    p50: int
    p99: int


class Shape(msgspec.Struct, frozen=True):
    """One kind of request: its share among others is by `weight`."""

    name: str
    prompt: Length
    output: Length
    weight: float = 1.0


class HotPrefix(msgspec.Struct, frozen=True):
    """A long beginning that requests share, such as a system prompt.

    `share` (0 to 1) of the requests begin with one of `copies` texts of `tokens` tokens, in front
    of what their shape asks for; in a chat that is the system message.
    """

    tokens: int
    share: float = 1.0
    copies: int = 1


class Sessions(msgspec.Struct, frozen=True):
    """Conversations of so many `turns`; people think for `think` seconds in the mean.

    A shape's prompt is then the new message of one turn. Pauses are exponential.
    """

    turns: int
    think: float = 0.0


class Misfit(StrEnum):
    """What becomes of requests that the context is too small for."""

    LEAVE_OUT = "leave-out"
    CLIP = "clip"
    """The prompt is made shorter, and only then the answer."""


class WorkloadOrder(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything that decides what is sent and when; the same order gives the same requests.

    Prompts come from `shapes`, a `file` or a `trace`: exactly one of them. `arrivals` None is a
    closed loop. `count` is of requests; with `duration` (seconds) as many as come in that time.
    Arrivals of sessions are those of their first turns.
    """

    shapes: tuple[Shape, ...] = ()
    file: str | None = None
    trace: str | None = None
    arrivals: Arrivals | None = None
    count: int | None = None
    duration: float | None = None
    seed: int = 0
    chat: bool = True
    """Messages for `/chat/completions`, else text for `/completions`."""
    sessions: Sessions | None = None
    prefix: HotPrefix | None = None
    output: Length = Length(128, 128)
    """Answers to the prompts of a file whose lines do not say."""
    context: int | None = None
    """Tokens of prompt and answer together that the engine takes."""
    misfit: Misfit = Misfit.LEAVE_OUT
    shrink: int = 1
    """Lengths of a trace, and its shared blocks, are divided by this."""
