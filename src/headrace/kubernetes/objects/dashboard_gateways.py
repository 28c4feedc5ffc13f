"""Panels of what the gateways measure: what clients see, what waits, and what there is to serve it.

Gateways live at zero replicas, so these have no gaps. Each gateway counts its own requests, so they
are summed; each sees all Pods, so of Pods the largest count is taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from headrace.kubernetes.objects.grafana import SPAN, Curve, Panel, Row
from headrace.kubernetes.objects.promises import BUDGET, promises
from headrace.kubernetes.objects.scene import Scene
from headrace.kubernetes.objects.workload import Workload

_PROMISE_SPAN = "30m"
"""Long enough for shares of rare requests to mean something."""


def rows(scene: Scene, works: Sequence[Workload]) -> Iterator[Row]:
    """Yield the rows, the most telling first."""
    made = _Panels(scene)
    yield Row("Now", list(made.now()))
    prices = any(work.deployment.price for work in works)
    yield Row("What clients see", [*made.clients(), *made.promised(), *made.spent(prices=prices)])
    yield Row("Waiting and replicas", [*made.waiting(), *made.replicas(), *made.mended()])


class _Panels:
    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        ours = f'namespace="{scene.namespace}"'
        self._ours = ours
        self._deployments = f'{ours},deployment=~"$deployment"'
        self._routes = f'{self._deployments},route=~"$route"'

    def now(self) -> Iterator[Panel]:
        yield self._stat("Requests", "reqps", f"sum({self._rate('requests_total')})")
        bad = f"(sum({self._rate('errors_total')}) or vector(0))"  # none before the first error
        share = f"{bad} / sum({self._rate('requests_total')})"
        yield self._stat("Ended badly", "percentunit", share)
        yield self._stat("TTFT p95", "s", self._quantile("ttft", 0.95))
        yield self._stat("TPOT p95", "s", self._quantile("tpot", 0.95))
        yield self._stat("Waiting", "short", f"{self._sum('held')} + {self._sum('queued')}")
        ready = self._pods('state="ready"')
        yield self._stat("Ready replicas", "short", f"sum(max by (deployment) ({ready}))")

    def clients(self) -> Iterator[Panel]:
        by_outcome = f"sum by (route, outcome) ({self._rate('requests_total')})"
        yield Panel("Requests by outcome", "reqps", [Curve(by_outcome, "{{route}} {{outcome}}")])
        by_kind = f"sum by (route, kind) ({self._rate('errors_total')})"
        yield Panel(
            "Ended badly, by kind", "reqps", [Curve(by_kind, "{{route}} {{kind}}")],
            "The kinds are the codes of the gateway's errors; `headrace requests --errors` has each"
            " request.",
        )  # fmt: skip
        yield self._latency(
            "Time to first token", "ttft", "From the request's arrival, waiting included."
        )
        yield self._latency(
            "Time per output token", "tpot", "(last event - first event) / (tokens - 1)."
        )

    def promised(self) -> Iterator[Panel]:
        for metric in ("ttft", "tpot"):
            made = [one for one in promises(self._scene) if one.metric == metric]
            curves = [
                Curve(one.kept(_PROMISE_SPAN), f"{one.route}: {one.seconds:g} s") for one in made
            ]
            notes = [f"{one.route}: {one.note}." for one in made if one.note]
            if curves:
                yield Panel(
                    f"{metric.upper()} as promised", "percentunit", curves,
                    " ".join([f"Share of requests, over {_PROMISE_SPAN}.", *notes]),
                    goal=1 - BUDGET,
                )  # fmt: skip

    def spent(self, *, prices: bool) -> Iterator[Panel]:
        kinds = (("input", "read"), ("cached", "of them cached"), ("output", "generated"))
        tokens = [Curve(f"sum({self._rate(f'{kind}_tokens_total')})", name) for kind, name in kinds]
        yield Panel("Tokens per second", "short", tokens, "As the engines report them.")
        if prices:
            cost = f"3600 * sum by (deployment) ({self._rate('cost_total')})"
            about = "By the deployments' `price`, in the fleet's currency."
            yield Panel("Cost per hour", "short", [Curve(cost, "{{deployment}}")], about)

    def waiting(self) -> Iterator[Panel]:
        states = ("held", "queued", "running")
        yield Panel(
            "Requests held, queued and running", "short",
            [
                Curve(f"sum by (deployment) ({self._of(one)})", f"{{{{deployment}}}} {one}")
                for one in states
            ],
            "Held: no replica is ready. Queued: all are full. Running: sent to a replica.",
        )  # fmt: skip
        waits = self._rate("wait_seconds_bucket")
        wait = f"histogram_quantile(0.95, sum by (le, deployment, kind) ({waits}))"
        yield Panel("Wait, p95", "s", [Curve(wait, "{{deployment}} {{kind}}")])

    def replicas(self) -> Iterator[Panel]:
        ready, others = self._pods('state="ready"'), self._pods('state!="ready"')
        curves = [
            Curve(f"max by (deployment) ({ready})", "{{deployment}} ready"),
            Curve(f"max by (deployment, state) ({others}) > 0", "{{deployment}} {{state}}"),
        ]
        if self._scene.scaled:
            wanted = f"kube_horizontalpodautoscaler_status_desired_replicas{{{self._ours}}}"
            curves.append(Curve(wanted, "{{horizontalpodautoscaler}} wants"))
        yield Panel(
            "Pods", "short", curves,
            "Ready: they answered the known prompt. What is wanted needs kube-state-metrics."
            " `headrace status` says what Pods wait for.",
        )  # fmt: skip

    def mended(self) -> Iterator[Panel]:
        named = (
            ("continuations_total", "continued elsewhere"),
            ("fallbacks_total", "to another deployment"),
            ("shed_total", "refused for more important ones"),
            ("limits_total", "beyond a limit"),
        )
        yield Panel(
            "Requests with a story", "reqps",
            [Curve(f"sum({self._rate(name)})", legend) for name, legend in named],
            "Continued: the replica broke and the client saw a pause only. `headrace request ID`"
            " tells one.",
        )  # fmt: skip
        ejected = f"max by (deployment, replica) ({self._of('replica_ejected')})"
        wrong = f"sum by (deployment) (increase({self._of('wrong_answers_total')}[{SPAN}]))"
        yield Panel(
            "Distrust", "short",
            [
                Curve(f"sum by (deployment) ({ejected})", "{{deployment}}: get nothing new"),
                Curve(wrong, "{{deployment}}: wrong answers"),
            ],
            "Replicas that fail more than others, or answer the known prompt wrongly.",
        )  # fmt: skip

    def _latency(self, title: str, metric: str, about: str) -> Panel:
        curves = [
            Curve(self._quantile(metric, share, "route"), f"{{{{route}}}} p{share * 100:.0f}")
            for share in (0.5, 0.95)
        ]
        return Panel(title, "s", curves, about)

    def _stat(self, title: str, unit: str, query: str) -> Panel:
        return Panel(title, unit, [Curve(query, title)], kind="stat")

    def _of(self, metric: str) -> str:
        return f"headrace_{metric}{{{self._deployments}}}"

    def _sum(self, metric: str) -> str:
        return f"sum({self._of(metric)})"

    def _pods(self, state: str) -> str:
        return f"headrace_pods{{{self._deployments},{state}}}"

    def _rate(self, metric: str) -> str:
        return f"rate(headrace_{metric}{{{self._routes}}}[{SPAN}])"

    def _quantile(self, metric: str, share: float, by: str = "") -> str:
        labels = f"le, {by}" if by else "le"
        buckets = self._rate(f"{metric}_seconds_bucket")
        return f"histogram_quantile({share}, sum by ({labels}) ({buckets}))"
