"""All experiments, by name, in the order in which a team would run them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from headrace.experiments import (
    baseline,
    baseline_load,
    batching,
    batching_load,
    coldstart,
    coldstart_load,
    context,
    context_load,
    parallel,
    parallel_load,
    prefix,
    prefix_load,
    quantization,
    quantization_load,
    restart,
    restart_load,
    shapes,
    shapes_load,
    speculative,
    speculative_load,
)
from headrace.experiments.experiment import Effort, Experiment

_ALL: tuple[Experiment[Any, Any], ...] = (
    Experiment(
        name="baseline",
        question="how fast is one request, and how many at once pay?",
        copies=False,
        settings={
            Effort.QUICK: baseline_load.Settings(most=16, each=2, least=4, repeats=1),
            Effort.NORMAL: baseline_load.Settings(),
            Effort.LONG: baseline_load.Settings(each=8, least=16, repeats=4),
        },
        measure=baseline_load.measure,
        conclude=baseline.conclude,
    ),
    Experiment(
        name="shapes",
        question="which requests are expensive, and do short ones suffer beside them?",
        copies=False,
        settings={
            Effort.QUICK: shapes_load.Settings(each=2, requests=20, long_prompt=512, repeats=1),
            Effort.NORMAL: shapes_load.Settings(),
            Effort.LONG: shapes_load.Settings(each=6, requests=60, repeats=4),
        },
        measure=shapes_load.measure,
        conclude=shapes.conclude,
    ),
    Experiment(
        name="context",
        question="what does a lower max_model_len change?",
        copies=True,
        settings={
            Effort.QUICK: context_load.Settings(requests=16, repeats=1),
            Effort.NORMAL: context_load.Settings(),
            Effort.LONG: context_load.Settings(requests=64, repeats=4),
        },
        measure=context_load.measure,
        conclude=context.conclude,
    ),
    Experiment(
        name="batching",
        question="what do static and continuous batching make of the same cores?",
        copies=False,
        settings={
            Effort.QUICK: batching_load.Settings(requests=16, size=8, repeats=1),
            Effort.NORMAL: batching_load.Settings(),
            Effort.LONG: batching_load.Settings(requests=64, repeats=4),
        },
        measure=batching_load.measure,
        conclude=batching.conclude,
    ),
    Experiment(
        name="prefix",
        question="what does the prefix cache do for prompts that share a beginning?",
        copies=False,
        settings={
            Effort.QUICK: prefix_load.Settings(shared=256, requests=8, output=8, repeats=1),
            Effort.NORMAL: prefix_load.Settings(),
            Effort.LONG: prefix_load.Settings(requests=40, repeats=4),
        },
        measure=prefix_load.measure,
        conclude=prefix.conclude,
    ),
    Experiment(
        name="quantization",
        question="are quantized weights worth it, and what do they cost in quality?",
        copies=True,
        settings={
            Effort.QUICK: quantization_load.Settings(open=6, requests=16, output=32),
            Effort.NORMAL: quantization_load.Settings(),
            Effort.LONG: quantization_load.Settings(runs=4, requests=64, output=128, answer=64),
        },
        measure=quantization_load.measure,
        conclude=quantization.conclude,
    ),
    Experiment(
        name="restart",
        question="what do clients see when a replica stops under long streams?",
        copies=True,
        settings={
            Effort.QUICK: restart_load.Settings(
                ways=("scale-down", "kill"), streams=6, tokens=64, bare=2
            ),
            Effort.NORMAL: restart_load.Settings(),
            Effort.LONG: restart_load.Settings(
                ways=("scale-down", "stop", "kill", "hang", "crash", "rollout"),
                streams=40,
                concurrency=8,
            ),
        },
        measure=restart_load.measure,
        conclude=restart.conclude,
    ),
    Experiment(
        name="coldstart",
        question="how long does a replica take to be ready, and what of it?",
        copies=True,
        settings={
            Effort.QUICK: coldstart_load.Settings(warm=2, emptied=1),
            Effort.NORMAL: coldstart_load.Settings(),
            Effort.LONG: coldstart_load.Settings(warm=10, emptied=5),
        },
        measure=coldstart_load.measure,
        conclude=coldstart.conclude,
    ),
    Experiment(
        name="parallel",
        question="does sharing the model over several ranks pay?",
        copies=True,
        settings={
            Effort.QUICK: parallel_load.Settings(requests=16, output=32),
            Effort.NORMAL: parallel_load.Settings(),
            Effort.LONG: parallel_load.Settings(repeats=4, requests=64, output=128),
        },
        measure=parallel_load.measure,
        conclude=parallel.conclude,
    ),
    Experiment(
        name="speculative",
        question="for which traffic does guessing tokens ahead pay?",
        copies=True,
        settings={
            Effort.QUICK: speculative_load.Settings(requests=6, tokens=64),
            Effort.NORMAL: speculative_load.Settings(),
            Effort.LONG: speculative_load.Settings(
                repeats=4, requests=24, concurrencies=(1, 4, 16)
            ),
        },
        measure=speculative_load.measure,
        conclude=speculative.conclude,
    ),
)
"""Baseline first: the others say what they changed against it."""

EXPERIMENTS: Mapping[str, Experiment[Any, Any]] = MappingProxyType({one.name: one for one in _ALL})
