"""Our client, as `headrace bench` runs it: a process that sends, and this one beside it."""

from __future__ import annotations

import asyncio

from bench.trust.plan import Plan, Times
from headrace.bench.asks import Ask
from headrace.bench.measure import Load, Target, measure

_LEAD = 2.0
"""Seconds after the request that opens a connection, as vLLM's client sends one first."""


def ours(url: str, model: str, plan: Plan) -> Times:
    """Return what our client saw; RuntimeError if a request failed."""
    asks = [Ask(number=0, prompt=plan.prompts[0], max_tokens=plan.tokens, at=0.0, warmup=True)]
    asks += [
        Ask(number=number, prompt=prompt, max_tokens=plan.tokens, at=_LEAD + at)
        for number, (prompt, at) in enumerate(zip(plan.prompts, plan.due, strict=True), 1)
    ]
    target = Target(address=f"{url}/v1", model=model, chat=False)
    # Neither goes before other work: what one gains by that, the other would be charged.
    load = Load(exact_length=True, workers=1, ahead=False)
    run = asyncio.run(measure(target, asks, load, lambda _: None))
    failed = [answer for answer in run.answers if answer.failure]
    if failed:
        raise RuntimeError(f"{len(failed)} of our requests failed, the first: {failed[0].detail}")
    answers = run.counted
    first = min(answer.sent for answer in answers)
    return Times(
        ttft=[answer.ttft or 0.0 for answer in answers],
        tpot=[answer.tpot or 0.0 for answer in answers],
        sent=[answer.sent - first for answer in answers],
    )
