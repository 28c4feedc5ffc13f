"""Speculative decoding by n-grams: for which traffic the engine's guesses pay.

The engine proposes the tokens that followed the last few words before, and checks all of them in
one step: text that repeats its prompt (copies, JSON, code) is guessed right, free prose is not, and
every wrong guess costs work. So both kinds are asked, alone and together: where many requests run
at once there is less idle compute to guess with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import product
from typing import NamedTuple

import httpx
import msgspec
from prometheus_client.parser import text_string_to_metric_families

from headrace.bench.asks import Ask
from headrace.bench.load import Load
from headrace.experiments.change import AS_IT_IS, Change
from headrace.experiments.copies import Copy
from headrace.experiments.errors import ExperimentError
from headrace.experiments.lab import Lab
from headrace.experiments.prompts import open_asks, repeating_asks
from headrace.experiments.settings import Count
from headrace.experiments.speculative import GUESSING, SETTING, Point
from headrace.experiments.turns import in_turns

ASKS: Mapping[str, Callable[..., list[Ask]]] = {"open": open_asks, "repeating": repeating_asks}
_COUNTERS = {
    "vllm:spec_decode_num_draft_tokens": "drafted",
    "vllm:spec_decode_num_accepted_tokens": "accepted",
    "vllm:spec_decode_num_drafts": "drafts",
}


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`config` is the engine's own: by default 4 tokens are guessed after a match of 2 to 4.

    Each of `repeats` visits to a copy measures `runs` times.
    """

    repeats: Count = 2
    runs: Count = 2
    requests: Count = 12
    tokens: Count = 96
    concurrencies: tuple[Count, ...] = (1, 8)
    config: str = (
        '{"method": "ngram", "num_speculative_tokens": 4,'
        ' "prompt_lookup_min": 2, "prompt_lookup_max": 4}'
    )


async def measure(lab: Lab, settings: Settings, points: list[Point]) -> None:
    """Ask both copies the same, in turns."""
    _check(lab)

    async def body(copy: Copy, change: Change, repeat: int) -> None:
        runs = product(range(settings.runs), settings.concurrencies, ASKS)
        for again, concurrency, traffic in runs:
            number = repeat * settings.runs + again
            run = _Run(change.label, traffic, concurrency, number)
            points.append(await _point(lab, copy, run, settings))

    await in_turns(
        lab, (AS_IT_IS, Change(GUESSING, {SETTING: settings.config})), settings.repeats, body
    )


def _check(lab: Lab) -> None:
    if lab.file is None:
        return  # the lab says so itself
    engine = lab.file.fleet.deployments[lab.case.deployment].engine
    if engine.name != "vllm":
        raise ExperimentError(f"how {engine.name} guesses tokens ahead is not known here; vllm is")
    if "speculative-config" in engine.flags:
        raise ExperimentError("this deployment guesses ahead already: take the flag out and rerun")


class _Run(NamedTuple):
    label: str
    traffic: str
    concurrency: int
    repeat: int


async def _point(lab: Lab, copy: Copy, of: _Run, settings: Settings) -> Point:
    mark = f"{of.repeat}.{of.concurrency}"
    asks = ASKS[of.traffic](settings.requests, settings.tokens, mark, warmup=of.concurrency)
    before = await counted(copy)
    name = f"{of.label}-{of.traffic}-{of.concurrency}-{of.repeat}".replace(" ", "-")
    run, figures = await lab.run(copy.endpoint, asks, Load(concurrency=of.concurrency), name)
    made = {one: value - before.get(one, 0.0) for one, value in (await counted(copy)).items()}
    good = [one for one in run.counted if one.failure is None]
    tokens = sum(one.output_tokens or 0 for one in good)
    events = sum(len(one.gaps) + 1 for one in good)
    return Point(
        label=of.label,
        traffic=of.traffic,
        concurrency=of.concurrency,
        repeat=of.repeat,
        figures=figures,
        tokens_per_event=tokens / events if events else None,
        drafts=made.get("drafts"),
        drafted=made.get("drafted"),
        accepted=made.get("accepted"),
    )


async def counted(copy: Copy) -> dict[str, float]:
    """Return what the engine counts of its guesses by now; nothing where it does not tell."""
    found: dict[str, float] = {}
    async with httpx.AsyncClient(trust_env=False, timeout=10) as http:
        for page in copy.direct.scrape:
            for family in text_string_to_metric_families((await http.get(page.url)).text):
                if (name := _COUNTERS.get(family.name)) is not None:
                    values = (one.value for one in family.samples if one.name.endswith("_total"))
                    found[name] = found.get(name, 0.0) + sum(values)
    return found
