"""What `shapes` measures, and the costs that follow: engine seconds of a request and of a token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from headrace.evidence.difference import Difference, difference, percentile
from headrace.experiments.measured import Measured, mean_of


class Kind(StrEnum):
    """A shape of requests: prompt and answer."""

    SHORT = "short/short"
    ANSWER = "short/long"
    PROMPT = "long/moderate"


class Arm(StrEnum):
    """Who is there beside the short requests."""

    ALONE = "alone"
    ANSWERS = "beside long answers"
    PROMPTS = "beside long prompts"
    BOTH = "beside both"


class Point(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Either one `kind` by itself, as fast as it goes, or the short ones in one `arm`.

    `ttft` and `tpot` are those of the short requests of an arm, in the order of time; `rate` is
    their requests a second. Rates of a kind are of the time in which all clients were busy.
    """

    repeat: int
    run: Measured
    kind: Kind | None = None
    arm: Arm | None = None
    rate: float = 0.0
    ttft: tuple[float, ...] = ()
    tpot: tuple[float, ...] = ()


@dataclass(frozen=True)
class Costs:
    """Engine seconds: of a request of each kind, and of one token of an answer and of a prompt.

    From three kinds: what longer answers take more is their tokens' cost; what a long prompt takes
    beyond its answer is its own.
    """

    requests: dict[Kind, float]
    answer_token: float
    prompt_token: float
    prefill_share: float
    """Of a request with a long prompt: the part that its prompt takes."""


def costs_of(points: Sequence[Point]) -> Costs | None:
    """Return the costs; None unless all three kinds were measured, each faster than nothing."""
    runs = {kind: [one.run for one in points if one.kind is kind] for kind in Kind}
    rates = {kind: mean_of(run.requests for run in some) for kind, some in runs.items()}
    if not all(rates.values()):
        return None
    costs = {kind: 1 / rate for kind, rate in rates.items() if rate}
    prompt = {kind: mean_of(run.prompt_mean for run in some) or 0.0 for kind, some in runs.items()}
    answer = {kind: mean_of(run.output_mean for run in some) or 0.0 for kind, some in runs.items()}
    short = Kind.SHORT
    longer = answer[Kind.ANSWER] - answer[short]
    per_answer = max(0.0, (costs[Kind.ANSWER] - costs[short]) / longer) if longer > 0 else 0.0
    more = prompt[Kind.PROMPT] - prompt[short]
    rest = costs[Kind.PROMPT] - costs[short] - per_answer * (answer[Kind.PROMPT] - answer[short])
    per_prompt = max(0.0, rest / more) if more > 0 else 0.0
    share = min(1.0, per_prompt * prompt[Kind.PROMPT] / costs[Kind.PROMPT])
    return Costs(costs, per_answer, per_prompt, share)


def short_in(points: Sequence[Point], arm: Arm, field: str) -> list[float]:
    """Return a latency of all short requests of an arm, repeat after repeat."""
    return [value for one in points if one.arm is arm for value in getattr(one, field)]


def against_alone(points: Sequence[Point], arm: Arm, field: str) -> Difference | None:
    """Return how the 95th percentile of a latency differs from that of short ones alone."""
    alone, beside = (short_in(points, one, field) for one in (Arm.ALONE, arm))
    return difference(alone, beside, percentile(95)) if alone and beside else None
