"""Traffic from a few figures, for who has no trace: lengths by two quantiles, arrivals by a rate.

Token counts of real traffic are roughly log-normal, so p50 and p99 are enough to draw the rest.
The lengths are not sampled but spread evenly over the distribution's probabilities and shuffled:
a plan must not change because a tail was drawn once more.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from headrace.traffic.errors import TrafficError
from headrace.traffic.traffic import Counts, Seconds, Traffic
from headrace.traffic.values import MOST_TOKENS

MOST = 1_000_000
"""Requests; a plan needs a few thousand."""
_NORMAL = NormalDist()
_Z99 = _NORMAL.inv_cdf(0.99)


def declare(
    rate: float,
    prompt_p50: int,
    prompt_p99: int,
    output_p50: int,
    output_p99: int,
    *,
    count: int = 2000,
    seed: int = 0,
    burstiness: float = 1.0,
) -> Traffic:
    """Return `count` requests at `rate` a second with log-normal lengths of these quantiles.

    With a count that is a multiple of 100 the quantiles are met exactly, and the rate always is.
    `burstiness` is the shape of the gamma distribution of the times between arrivals, as in vLLM's
    load generator: 1 is Poisson, less comes in bursts (their CV is 1/sqrt(burstiness)). The same
    arguments give the same traffic. TrafficError if they describe none.
    """
    _check(rate, count, burstiness)
    random = np.random.default_rng(seed)
    return Traffic(
        arrivals=_arrivals(rate, count, burstiness, random),
        prompts=random.permutation(_lengths("prompt", prompt_p50, prompt_p99, count)),
        outputs=random.permutation(_lengths("output", output_p50, output_p99, count)),
        source="declared",
        notes=(
            f"{count:,} requests {_comes(burstiness)}; answers are as long after any prompt",
            f"lengths of prompts log-normal: p50 {prompt_p50:,}, p99 {prompt_p99:,} tokens",
            f"lengths of answers log-normal: p50 {output_p50:,}, p99 {output_p99:,} tokens",
        ),
    )


def _check(rate: float, count: int, burstiness: float) -> None:
    if not (math.isfinite(rate) and rate > 0):
        raise TrafficError(f"rate {rate}: requests a second must be more than 0")
    if not 1 <= count <= MOST:
        raise TrafficError(f"count {count:,}: from 1 to {MOST:,} requests can be declared")
    if not (math.isfinite(burstiness) and burstiness > 0):
        raise TrafficError(f"burstiness {burstiness}: must be more than 0 (1 is Poisson)")


def _lengths(what: str, p50: int, p99: int, count: int) -> Counts:
    """Return lengths in rising order: the one at rank r has the probability r / count.

    The last would be infinite: it stands in the middle of its step.
    """
    if not 1 <= p50 <= p99 <= MOST_TOKENS:
        raise TrafficError(
            f"{what} p50 {p50:,} and p99 {p99:,}: lengths are from 1 to {MOST_TOKENS:,} tokens,"
            " and p99 is not below p50"
        )
    shares = np.append(np.arange(1, count) / count, 1 - 0.5 / count)
    scores = np.array([_NORMAL.inv_cdf(share) for share in shares])
    sigma = math.log(p99 / p50) / _Z99
    tokens: Counts = np.rint(np.clip(p50 * np.exp(sigma * scores), 1, MOST_TOKENS)).astype(np.int64)
    return tokens


def _arrivals(rate: float, count: int, burstiness: float, random: np.random.Generator) -> Seconds:
    gaps = random.gamma(burstiness, size=count - 1)
    times = np.concatenate([[0.0], np.cumsum(gaps)])
    last = times[-1]
    return times * ((count - 1) / rate / last) if last else np.arange(count) / rate


def _comes(burstiness: float) -> str:
    if burstiness == 1:
        return "arriving independently (Poisson)"
    return f"arriving with burstiness {burstiness:g} (gamma)"
