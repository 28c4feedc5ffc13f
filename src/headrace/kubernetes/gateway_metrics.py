"""What a gateway in a cluster knows of its Pods, beside what every gateway measures.

On the admin address's `/metrics` with the rest (`headrace.gateway.metrics`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

STATES = ("ready", "asked", "wrong", "failed", "not_ready", "terminating")
"""Of a Pod; `asked`: the known prompt was sent and not answered yet."""


@dataclass(frozen=True)
class Seen:
    """How it stands: Pods by deployment and state, wrong answers by deployment, and refusals."""

    pods: Mapping[str, Counter[str]]
    wrong: Mapping[str, int]
    api_failures: int
    neighbour_failures: int
    file_failures: int


class PodMetrics(Collector):
    """Reads how it stands when somebody scrapes."""

    def __init__(self, look: Callable[[], Seen]) -> None:
        self._look = look

    def collect(self) -> Iterator[Metric]:
        """Build the families."""
        seen = self._look()
        pods = GaugeMetricFamily("headrace_pods", "Pods by state", labels=["deployment", "state"])
        wrong = CounterMetricFamily(
            "headrace_wrong_answers", "Wrong answers to the known prompt", labels=["deployment"]
        )
        for deployment, states in seen.pods.items():
            for state in STATES:
                pods.add_metric([deployment, state], states[state])
            wrong.add_metric([deployment], seen.wrong.get(deployment, 0))
        yield from (pods, wrong)
        yield CounterMetricFamily(
            "headrace_endpoint_failures", "Refusals of the API server", seen.api_failures
        )
        yield CounterMetricFamily(
            "headrace_neighbour_failures",
            "Questions to other gateways that were not answered",
            seen.neighbour_failures,
        )
        yield CounterMetricFamily(
            "headrace_file_refusals", "Edited files that could not be used", seen.file_failures
        )
