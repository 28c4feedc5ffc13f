"""Who may talk to whom, worked out from the policies as a network plugin does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from render_kit import GPU, example, files, objects

from headrace.kubernetes.options import Options, Storage
from headrace.kubernetes.render import Rendered

Pod = dict[str, str]
OWN = "kubernetes.io/metadata.name"


def _pod(made: list[Rendered], component: str, deployment: str | None = None) -> Pod:
    """Return the labels of a Pod that a rendered object makes."""
    for one_ in objects(made):
        spec = one_.get("spec", {})
        inside = spec.get("leaderWorkerTemplate", {})
        template = spec.get("template") or inside.get("leaderTemplate") or {}
        labels: Pod = template.get("metadata", {}).get("labels", {})
        wanted = {"app.kubernetes.io/component": component}
        if deployment:
            wanted["headrace.dev/deployment"] = deployment
        if wanted.items() <= labels.items():
            return labels
    raise AssertionError(f"no Pod of {component}")


def _picks(selector: dict[str, Any], labels: Pod) -> bool:
    return bool(selector.get("matchLabels", {}).items() <= labels.items())


def _peer(peer: dict[str, Any], other: Pod | str) -> bool:
    """Whether a peer means a Pod of the same namespace, or a namespace by its name."""
    if isinstance(other, str):
        return (
            _picks(peer["namespaceSelector"], {OWN: other})
            if "namespaceSelector" in peer
            else (peer.get("ipBlock", {}).get("cidr") == other)
        )
    return "podSelector" in peer and _picks(peer["podSelector"], other)


def _may(made: list[Rendered], way: str, pod: Pod, other: Pod | str, port: int) -> bool:
    """Whether the policies for `pod` let through; a Pod that no policy picks lets all through."""
    rules = []
    for one_ in objects(made):
        if one_["kind"] != "NetworkPolicy" or not _picks(one_["spec"]["podSelector"], pod):
            continue
        rules += one_["spec"].get(way.lower(), []) if way in one_["spec"]["policyTypes"] else []
    side = "from" if way == "Ingress" else "to"
    return any(
        (side not in rule or any(_peer(peer, other) for peer in rule[side]))
        and ("ports" not in rule or port in {one_["port"] for one_ in rule["ports"]})
        for rule in rules
    )


def _reaches(made: list[Rendered], source: Pod, target: Pod, port: int) -> bool:
    return _may(made, "Egress", source, target, port) and _may(
        made, "Ingress", target, source, port
    )


def test_only_gateways_reach_engines(tmp_path: Path) -> None:
    made = files(tmp_path)
    engine, gateway, scaler = (_pod(made, one_) for one_ in ("engine", "gateway", "scaler"))
    weights = _pod(made, "weights")
    assert _reaches(made, gateway, engine, 8000)
    assert not _reaches(made, gateway, engine, 22)
    for other in (scaler, weights, engine):
        assert not _reaches(made, other, engine, 8000)
    for namespace in ("default", "keda"):
        assert not _may(made, "Ingress", engine, namespace, 8000)


def test_an_engine_reaches_nothing_but_names(tmp_path: Path) -> None:
    made = files(tmp_path)
    engine = _pod(made, "engine")
    assert _may(made, "Egress", engine, "kube-system", 53)
    assert not _may(made, "Egress", engine, "0.0.0.0/0", 443)
    assert not _reaches(made, engine, _pod(made, "gateway"), 8081)


def test_with_node_local_weights_the_init_container_reaches_a_hub(tmp_path: Path) -> None:
    made = files(tmp_path, Options(storage=Storage("node-local")))
    assert _may(made, "Egress", _pod(made, "engine"), "0.0.0.0/0", 443)


def test_prometheus_reads_and_only_it(tmp_path: Path) -> None:
    made = files(tmp_path, Options(prometheus_namespace="observability"))
    engine, gateway = _pod(made, "engine"), _pod(made, "gateway")
    assert _may(made, "Ingress", engine, "observability", 8000)
    assert _may(made, "Ingress", gateway, "observability", 8081)
    assert not _may(made, "Ingress", gateway, "monitoring", 8081)
    assert _may(made, "Ingress", _pod(made, "scaler"), "observability", 9091)


def test_prometheus_gets_the_metrics_port_where_an_engine_has_one() -> None:
    made = example("kubernetes/five-engines.yaml")
    tgi = _pod(made, "engine", "tgi-a")
    assert _may(made, "Ingress", tgi, "monitoring", 9000)
    assert not _may(made, "Ingress", tgi, "monitoring", 3000)


def test_demand_goes_from_gateways_to_the_scaler_to_keda(tmp_path: Path) -> None:
    made = files(tmp_path)
    gateway, scaler = _pod(made, "gateway"), _pod(made, "scaler")
    assert _reaches(made, scaler, gateway, 8081)
    assert not _reaches(made, gateway, scaler, 9090)
    assert _may(made, "Ingress", scaler, "keda", 9090)
    assert not _may(made, "Ingress", scaler, "default", 9090)


def test_clients_reach_the_api_and_nothing_else(tmp_path: Path) -> None:
    made = files(tmp_path)
    gateway = _pod(made, "gateway")
    assert _may(made, "Ingress", gateway, "default", 8080)
    assert not _may(made, "Ingress", gateway, "default", 8081)


def test_watchers_reach_the_api_server(tmp_path: Path) -> None:
    made = files(tmp_path)
    for component in ("gateway", "scaler"):
        assert _may(made, "Egress", _pod(made, component), "0.0.0.0/0", 6443)


def test_the_pods_of_a_replica_talk_on_any_port(tmp_path: Path) -> None:
    made = files(
        tmp_path,
        hardware=f"{GPU}, per_node: 8, nodes: 2",
        deployment="tensor_parallel: 8\n    pipeline_parallel: 2",
    )
    engine = _pod(made, "engine")
    assert _reaches(made, engine, engine, 43127)


def test_every_pod_is_behind_a_policy_of_both_ways() -> None:
    made = example("kubernetes/five-engines.yaml")
    stranger = {"app": "x"}
    for component in ("engine", "gateway", "scaler", "weights"):
        pod = _pod(made, component)
        for way in ("Ingress", "Egress"):
            assert not _may(made, way, pod, stranger, 1)
