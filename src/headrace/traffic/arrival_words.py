"""Arrivals as people write them on a command line: `5`, `gamma:5:0.3`, `steps:2x30s,8x30s`."""

from __future__ import annotations

import math
import re

from headrace.fleet.units import parse_duration
from headrace.traffic.arrivals import (
    Arrivals,
    Constant,
    Gamma,
    Poisson,
    Ramp,
    Replay,
    Step,
    Steps,
)
from headrace.traffic.errors import TrafficError

FORMS = {
    "constant": "constant:RATE, such as constant:2",
    "poisson": "poisson:RATE, such as poisson:5",
    "gamma": "gamma:RATE:BURSTINESS, such as gamma:5:0.3",
    "ramp": "ramp:FROM-TO:DURATION, such as ramp:1-10:60s",
    "steps": "steps:RATExDURATION,…, such as steps:2x30s,8x30s",
    "replay": "replay, with a trace",
}
"""How each kind is written; rates are requests a second. A bare number is Poisson."""
HIGHEST = 100_000.0
"""Requests a second; no client of one machine sends more."""


def parse_arrivals(text: str, time_scale: float = 1.0) -> Arrivals:
    """Return the arrivals that words ask for; TrafficError says what is wrong with them."""
    kind, *rest = text.strip().split(":")
    if re.fullmatch(r"[\d.]+", kind):
        kind, rest = "poisson", [kind, *rest]
    if kind not in FORMS:
        raise TrafficError(f"arrivals {text}: known are {'; '.join(FORMS.values())}; or a rate")
    try:
        return _parse(kind, rest, time_scale)
    except ValueError as error:
        wrong = str(error) or "this is not how it is written"
        raise TrafficError(f"arrivals {text}: {wrong}; expected {FORMS[kind]}") from None


def _parse(kind: str, rest: list[str], time_scale: float) -> Arrivals:
    match kind, rest:
        case "constant", [rate]:
            return Constant(_rate(rate))
        case "poisson", [rate]:
            return Poisson(_rate(rate))
        case "gamma", [rate, burstiness]:
            return Gamma(_rate(rate), _positive("burstiness", burstiness))
        case "ramp", [rates, seconds]:
            start, end = _two(rates, "-")
            return _ramp(_rate(start, least=0), _rate(end, least=0), _seconds(seconds))
        case "steps", [steps]:
            return _steps([_two(step, "x") for step in steps.split(",")])
        case "replay", []:
            return Replay(_positive("the time scale", str(time_scale)))
    raise ValueError


def _ramp(start: float, end: float, seconds: float) -> Ramp:
    if start == end == 0:
        raise ValueError("a ramp from 0 to 0 has no requests")
    return Ramp(start, end, seconds)


def _steps(steps: list[tuple[str, str]]) -> Steps:
    found = tuple(Step(_rate(rate, least=0), _seconds(seconds)) for rate, seconds in steps)
    if not any(step.rate for step in found):
        raise ValueError("no step has a rate above 0")
    return Steps(found)


def _two(text: str, between: str) -> tuple[str, str]:
    first, found, second = text.partition(between)
    if not found:
        raise ValueError(f"{text!r} has no {between!r}")
    return first, second


def _seconds(text: str) -> float:
    seconds = parse_duration(text)
    if not 0 < seconds < math.inf:
        raise ValueError(f"{text} is no length of time")
    return seconds


def _rate(text: str, least: float | None = None) -> float:
    """Return requests a second; more than 0 where `least` is None."""
    rate = _number("rate", text)
    if rate < 0 or (rate == 0 and least is None):
        raise ValueError(f"rate {text} must be more than 0")
    if rate > HIGHEST:
        raise ValueError(f"rate {text} is more than {HIGHEST:,.0f} a second")
    return rate


def _positive(what: str, text: str) -> float:
    number = _number(what, text)
    if number <= 0:
        raise ValueError(f"{what} {text} must be more than 0")
    return number


def _number(what: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise ValueError(f"{what} {text!r} is no number") from None
    if not math.isfinite(number):
        raise ValueError(f"{what} {text} is not finite")
    return number
