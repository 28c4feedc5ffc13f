"""Engine metrics by canonical name, read from Prometheus text; "absent" is None and never 0.

Which names an engine uses in which version is its own file's knowledge (`vllm_metrics.py`).

Canonical names: running, waiting (requests), kv_usage (0..1), ttft, itl, tpot, e2e (seconds),
prompt_tokens, generation_tokens, prefix_hits, prefix_queries (tokens), preemptions, success
(requests).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample as Series

CANONICAL = (
    *("running", "waiting", "kv_usage", "ttft", "itl", "tpot", "e2e", "prompt_tokens"),
    *("generation_tokens", "prefix_hits", "prefix_queries", "preemptions", "success"),
)
_LABELLED = re.compile(r'([^{]+)\{(\w+)="([^"]*)"\}')
_NOT_SUCCESS = {"abort", "error"}
_WORST = {"kv_usage"}


@dataclass(frozen=True)
class Sample:
    """A gauge or counter as `value`; a histogram as `value` (its sum) and `count`."""

    value: float
    count: float | None = None

    @property
    def mean(self) -> float | None:
        """The histogram's mean; None where nothing was observed or it is no histogram."""
        return self.value / self.count if self.count else None


def read_metrics(text: str, sources: Mapping[str, Sequence[str]]) -> dict[str, Sample | None]:
    """Return a sample for each canonical name, None if absent; ValueError if unreadable.

    Summed over engines (data-parallel ranks) and models; of kv_usage the fullest engine counts;
    success leaves out what ended by abort or error.
    """
    families = {family.name: family for family in text_string_to_metric_families(text)}
    return {name: _read(name, sources.get(name, ()), families) for name in CANONICAL}


def _read(name: str, sources: Iterable[str], families: Mapping[str, Metric]) -> Sample | None:
    for source in sources:
        wire, label = _split(source)
        family = families.get(wire.removesuffix("_total"))
        if family is None:
            continue
        if family.type == "histogram":
            total = _sum(family.samples, "_sum")
            return Sample(total, _sum(family.samples, "_count"))
        values = [s.value for s in family.samples if _counts(s, label)]
        return Sample(max(values, default=0.0) if name in _WORST else sum(values))
    return None


def _split(source: str) -> tuple[str, tuple[str, str] | None]:
    """Return a metric's name, and the label that its series must have: `name{label="value"}`."""
    found = _LABELLED.fullmatch(source)
    return (found[1], (found[2], found[3])) if found else (source, None)


def _counts(series: Series, label: tuple[str, str] | None) -> bool:
    ended = series.labels.get("finished_reason") in _NOT_SUCCESS
    meant = label is None or series.labels.get(label[0]) == label[1]
    return meant and not series.name.endswith("_created") and not ended


def _sum(samples: Iterable[Series], suffix: str) -> float:
    return sum(s.value for s in samples if s.name.endswith(suffix))
