"""How a load is sent, and what is told of it while it runs."""

from __future__ import annotations

from typing import Literal

import msgspec


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """How asks are sent; times in seconds.

    `concurrency` None is an open loop: each ask is sent at its `at`, whatever became of the others.
    A number is a closed loop: so many clients, each of which sends the next ask (or the turns of
    the next session) once it has its answer; `at` is not looked at. `most_in_flight` bounds an open
    loop; who waits for it is late, and the lag says so.

    Answers to the first `warmup` requests, and to those due in the first `warmup_seconds`, are
    marked as warm-up, as are those of asks that say so. After `seconds` no request is begun.
    `patience` is how long nothing may come before a request is given up as silent.

    `exact_length` asks the engine to ignore its end token, so that an answer has `max_tokens`;
    leave it off for engines that refuse `ignore_eos`. `reuse` keeps connections for later requests,
    as vLLM's benchmark does. `workers` is how many processes send; 0 sends from this one. With
    `ahead` those processes go before all other work of the machine, where the system allows that.
    """

    concurrency: int | None = None
    warmup: int = 0
    warmup_seconds: float = 0.0
    seconds: float | None = None
    patience: float = 60.0
    workers: int | Literal["auto"] = "auto"
    exact_length: bool = False
    keep_texts: bool = False
    temperature: float | None = 0.0
    sample_every: float = 1.0
    most_in_flight: int | None = None
    reuse: bool = True
    ahead: bool = True


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """A run so far: requests sent, in flight, ended (failed ones included) and failed.

    `lag` is the worst lateness of a request and `rate` the requests ended per second, both over the
    last second or so; `tokens` the events with text per second; `seconds` since the beginning.
    """

    sent: int
    running: int
    ended: int
    failed: int
    seconds: float
    lag: float
    rate: float
    tokens: float = 0.0
    trouble: str = ""
    """What the run's own machinery suffered, such as a full disk; the run goes on."""
