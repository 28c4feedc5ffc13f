"""What routes promise, as PromQL; `burn_rates.py` alerts on it, the dashboard draws it.

A route promises a TTFT and a TPOT at the 95th percentile, so its error budget is 5 % of requests.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from headrace.gateway.metrics import LATENCY, PER_TOKEN
from headrace.kubernetes.objects.scene import Scene
from headrace.routing.from_fleet import routes_of

BUDGET = 0.05
"""Share of requests that may be slow: the promise is for the 95th percentile."""


class Promise(NamedTuple):
    """That 95 % of a route's requests have a `metric` (ttft, tpot) of at most `seconds`.

    `deployment` is the one that the route leads to first, `namespace` where its gateways are.
    """

    namespace: str
    route: str
    deployment: str
    metric: str
    seconds: float
    buckets: tuple[float, ...]

    @property
    def bucket(self) -> float | None:
        """The smallest bucket that holds the promise; None: it is longer than all of them."""
        return next((one for one in self.buckets if one >= self.seconds), None)

    def kept(self, window: str) -> str:
        """Return the share of requests in a window that were as fast as promised."""
        labels = f'namespace="{self.namespace}",route="{self.route}"'
        series = f"headrace_{self.metric}_seconds"
        edge = "+Inf" if self.bucket is None else f"{float(self.bucket)}"
        good = f'sum(rate({series}_bucket{{{labels},le="{edge}"}}[{window}]))'
        return f"{good} / sum(rate({series}_count{{{labels}}}[{window}]))"

    @property
    def note(self) -> str:
        """What the histogram cannot tell; empty: nothing."""
        if self.bucket is None:
            return (
                f"{self.seconds:g} s is beyond the histogram, so it counts as kept whatever happens"
            )
        if self.bucket == self.seconds:
            return ""
        return (
            f"promised are {self.seconds:g} s; the histogram's next bound is {self.bucket:g} s:"
            " what lies between counts as kept"
        )


def promises(scene: Scene) -> Iterator[Promise]:
    """Yield the promises of all routes that lead to a deployment."""
    for route in routes_of(scene.fleet):
        asked = (("ttft", route.slo.ttft, LATENCY), ("tpot", route.slo.tpot, PER_TOKEN))
        for metric, seconds, buckets in asked if route.variants else ():
            if seconds is not None:
                first = route.variants[0].deployment
                yield Promise(scene.namespace, route.name, first, metric, seconds, buckets)
