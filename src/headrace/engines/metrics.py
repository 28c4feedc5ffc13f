"""Engine metrics by canonical name, read from Prometheus text; "absent" is None and never 0.

Which names an engine uses in which version is its own file's knowledge (`vllm_metrics.py`).

Canonical names: running, waiting (requests), kv_usage (0..1), ttft, itl, tpot, e2e (seconds),
prompt_tokens, generation_tokens, prefix_hits, prefix_queries (tokens), preemptions, success
(requests).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample as Series

CANONICAL = (
    *("running", "waiting", "kv_usage", "ttft", "itl", "tpot", "e2e", "prompt_tokens"),
    *("generation_tokens", "prefix_hits", "prefix_queries", "preemptions", "success"),
)
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
        family = families.get(source.removesuffix("_total"))
        if family is None:
            continue
        if family.type == "histogram":
            total = _sum(family.samples, "_sum")
            return Sample(total, _sum(family.samples, "_count"))
        values = [s.value for s in family.samples if _counts(s)]
        return Sample(max(values, default=0.0) if name in _WORST else sum(values))
    return None


def _counts(series: Series) -> bool:
    ended = series.labels.get("finished_reason") in _NOT_SUCCESS
    return not series.name.endswith("_created") and not ended


def _sum(samples: Iterable[Series], suffix: str) -> float:
    return sum(s.value for s in samples if s.name.endswith(suffix))
