"""All experiments, by name, in the order in which a team would run them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from headrace.experiments.experiment import Experiment

_ALL: tuple[Experiment[Any, Any], ...] = ()
"""Baseline first: the others say what they changed against it."""

EXPERIMENTS: Mapping[str, Experiment[Any, Any]] = MappingProxyType({one.name: one for one in _ALL})
