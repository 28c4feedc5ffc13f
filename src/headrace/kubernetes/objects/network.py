"""Who may talk to whom: nobody, but for what is listed here.

Only gateways reach engines; only Prometheus, the scaler and other gateways reach admin ports. What
an engine knows how to do without a key (sleep, dumps, abort) is so out of everybody's reach. Probes
come from the node, which network plugins let through. A cluster whose plugin ignores policies has
none of this.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from headrace.kubernetes import names
from headrace.kubernetes.notes import Noted, annotated
from headrace.kubernetes.objects.scene import Scene, prometheus_labels
from headrace.kubernetes.objects.workload import Workload

_NAMESPACE = "kubernetes.io/metadata.name"
_API_SERVER = (443, 6443)
_HTTPS = (443,)
_NODE_DNS = "169.254.20.10/32"
"""Where NodeLocal DNSCache listens on every node."""


def objects(scene: Scene, workloads: Sequence[Workload]) -> list[Noted]:
    """Return all policies of a fleet."""
    found = [_nothing(scene), _dns(scene)]
    found += [_engine(work) for work in workloads]
    if any(work.weights is not None for work in workloads):
        found.append(_pull(scene))
    found.append(_gateway(scene, workloads))
    if scene.scaled and scene.options.scaler == "external":
        found.append(_scaler(scene))
    return found


def _policy(scene: Scene, name: str, pods: dict[str, str], **rules: Any) -> Noted:
    types = [kind for kind in ("Ingress", "Egress") if kind.lower() in rules]
    spec = {"podSelector": {"matchLabels": pods}, "policyTypes": types, **rules}
    meta = scene.meta(f"{scene.name}-{name}", "network", name)
    return Noted(
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": meta,
            "spec": spec,
        }
    )


def _ports(numbers: Iterable[int], protocol: str = "TCP") -> list[dict[str, Any]]:
    return [{"protocol": protocol, "port": number} for number in sorted(set(numbers))]


def _pods(scene: Scene, component: str, deployment: str | None = None) -> dict[str, Any]:
    selector = names.selector(scene.name, component, deployment)
    return {"podSelector": {"matchLabels": selector}}


def _nothing(scene: Scene) -> Noted:
    made = _policy(scene, "nothing", {names.PART_OF: scene.name}, ingress=[], egress=[])
    made.head = "nothing may talk to or from this fleet's Pods, except as the others say"
    return made


def _dns(scene: Scene) -> Noted:
    port = _ports([53], "UDP") + _ports([53])
    to = annotated(
        [
            ({"namespaceSelector": {"matchLabels": {_NAMESPACE: "kube-system"}}}, None),
            ({"ipBlock": {"cidr": _NODE_DNS}}, "NodeLocal DNSCache, where a cluster has it"),
        ]
    )
    return _policy(scene, "dns", {names.PART_OF: scene.name}, egress=[{"to": to, "ports": port}])


def _prometheus(scene: Scene) -> dict[str, Any]:
    return {"namespaceSelector": {"matchLabels": dict(prometheus_labels(scene))}}


def _engine(work: Workload) -> Noted:
    scene, ports = work.scene, work.leader.ports
    metrics = ports["metrics"]
    same = "; it is the API's port as well, so Prometheus could also ask for answers"
    ingress = [
        (
            {"from": [_pods(scene, names.GATEWAY)], "ports": _ports([ports["http"]])},
            "requests come from gateways only",
        ),
        (
            {"from": [_prometheus(scene)], "ports": _ports([metrics])},
            f"metrics{same if metrics == ports['http'] else ''}",
        ),
    ]
    egress = list(_engine_egress(work))
    if work.pods > 1:
        peers = {"from": [{"podSelector": {"matchLabels": work.selector}}]}
        ingress.append((peers, "the Pods of a replica, on ports that NCCL chooses"))
    return _policy(
        scene,
        work.deployment_name,
        work.selector,
        ingress=annotated(ingress),
        egress=annotated(egress),
    )


def _engine_egress(work: Workload) -> Iterator[tuple[dict[str, Any], str]]:
    if work.pods > 1:
        yield {"to": [{"podSelector": {"matchLabels": work.selector}}]}, "the Pods of its replica"
    if work.weights is not None and work.scene.options.storage.kind == "node-local":
        why = "its init container pulls weights; the engine itself is told to stay offline"
        yield {"to": [_anywhere()], "ports": _ports(_HTTPS)}, why


def _anywhere() -> dict[str, Any]:
    return {"ipBlock": {"cidr": "0.0.0.0/0"}}


def _pull(scene: Scene) -> Noted:
    made = _policy(
        scene,
        "weights",
        names.selector(scene.name, "weights"),
        egress=[{"to": [_anywhere()], "ports": _ports(_HTTPS)}],
    )
    made.head = "weights come over HTTPS, and only to the Job that checks them"
    return made


def _gateway(scene: Scene, workloads: Sequence[Workload]) -> Noted:
    admin: list[dict[str, Any]] = [_prometheus(scene), _pods(scene, names.GATEWAY)]
    if scene.scaled and scene.options.scaler == "external":
        admin.append(_pods(scene, names.SCALER))
    ingress = [
        ({"ports": _ports([names.API_PORT])}, "clients, from anywhere; API keys say who they are"),
        (
            {"from": admin, "ports": _ports([names.ADMIN_PORT])},
            "metrics, demand, use of limits",
        ),
    ]
    egress: list[tuple[dict[str, Any], str | None]] = [
        (
            {
                "to": [_pods(scene, "engine", work.deployment_name)],
                "ports": _ports([work.leader.ports["http"]]),
            },
            None,
        )
        for work in workloads
    ]
    others = {"to": [_pods(scene, names.GATEWAY)], "ports": _ports([names.ADMIN_PORT])}
    egress.append((others, "gateways tell each other what counts for limits"))
    egress.append(({"to": [_anywhere()], "ports": _ports(_API_SERVER)}, _WATCH))
    egress += list(_traces(scene))
    return _policy(
        scene,
        names.GATEWAY,
        names.selector(scene.name, names.GATEWAY),
        ingress=annotated(ingress),
        egress=annotated(egress),
    )


_WATCH = "EndpointSlices come from the API server, which no label can pick"


def _traces(scene: Scene) -> Iterator[tuple[dict[str, Any], str]]:
    if scene.fleet.gateway.traces is not None:
        yield {"to": [_anywhere()], "ports": _ports([4318])}, "gateway.traces"


def _scaler(scene: Scene) -> Noted:
    keda = {"namespaceSelector": {"matchLabels": {_NAMESPACE: scene.options.keda_namespace}}}
    ingress = [
        ({"from": [keda], "ports": _ports([names.SCALER_PORT])}, "KEDA asks over gRPC"),
        ({"from": [_prometheus(scene)], "ports": _ports([names.SCALER_HEALTH_PORT])}, "metrics"),
    ]
    egress = [
        (
            {"to": [_pods(scene, names.GATEWAY)], "ports": _ports([names.ADMIN_PORT])},
            "demand, from every gateway",
        ),
        ({"to": [_anywhere()], "ports": _ports(_API_SERVER)}, _WATCH),
    ]
    return _policy(
        scene,
        names.SCALER,
        names.selector(scene.name, names.SCALER),
        ingress=annotated(ingress),
        egress=annotated(egress),
    )
