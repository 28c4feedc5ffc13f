"""What answers cost: per 1,000 requests and per million tokens, for a deployment and its routes.

Everything is in the currency that the accelerator's price is in. Idle time is paid too: a cost is
always that of a rate which really comes, not of the rate that would be possible.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

HOUR = 3600


@dataclass(frozen=True)
class Cost:
    """`hour` is what runs costs in an hour; the rest is that, divided by what it does in an hour.

    `million_tokens` counts prompt and answer alike, `million_answer` puts all of it on the answer.
    """

    hour: float
    thousand_requests: float
    million_tokens: float
    million_answer: float


@dataclass(frozen=True)
class RouteLoad:
    """A route's part of a deployment's load: requests a second, mean tokens of prompt and answer.

    `cached` is the share of its prompt tokens that the prefix cache has, which cost no computing.
    """

    route: str
    rate: float
    prompt: float
    answer: float
    cached: float = 0.0


@dataclass(frozen=True)
class Seconds:
    """Accelerator time that one token takes at the planned batch; only their ratio matters."""

    prompt_token: float
    answer_token: float


def cost(hour: float, rate: float, prompt: float, answer: float) -> Cost:
    """Return the cost of `rate` requests a second on what costs `hour` an hour.

    With `prompt` and `answer` mean tokens; 1,000 requests: hour / (3600 * rate) * 1000.
    """
    if not rate > 0:
        raise ValueError(
            f"the rate is {rate} requests/s; without requests there is no cost of one:"
            " declare a rate above 0, or read the cost of an hour"
        )
    request = hour / (HOUR * rate)
    return Cost(
        hour=hour,
        thousand_requests=1000 * request,
        million_tokens=_million(request, prompt + answer),
        million_answer=_million(request, answer),
    )


def by_route(hour: float, loads: Sequence[RouteLoad], seconds: Seconds) -> dict[str, Cost]:
    """Return what each route costs: the hour is divided by the accelerator time that each takes.

    A route with long prompts pays for its prefill, one with long answers for its decoding; idle
    time is shared in the same proportion, so that the parts add up to the bill.
    """
    busy = [load.rate * _work(load, seconds) for load in loads]
    total = sum(busy)
    return {
        load.route: cost(hour * part / total, load.rate, load.prompt, load.answer)
        for load, part in zip(loads, busy, strict=True)
        if load.rate > 0
    }


def _work(load: RouteLoad, seconds: Seconds) -> float:
    computed = load.prompt * (1 - load.cached)
    return computed * seconds.prompt_token + load.answer * seconds.answer_token


def _million(request: float, tokens: float) -> float:
    return 1e6 * request / tokens if tokens else 0.0
