"""All experiments, by name, in the order in which a team would run them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from headrace.experiments import baseline, baseline_load, batching, batching_load
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
)
"""Baseline first: the others say what they changed against it."""

EXPERIMENTS: Mapping[str, Experiment[Any, Any]] = MappingProxyType({one.name: one for one in _ALL})
