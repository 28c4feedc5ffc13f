"""The gateways in the cluster, what they are told, and the ways in from outside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml as pyyaml
from render_kit import example, files, kinds, objects, one

from headrace.fleet.load import load_fleet
from headrace.kubernetes.options import Expose, Options
from headrace.kubernetes.render import Rendered


def _config(folder: Path, made: list[Rendered], name: str) -> Path:
    data = one(made, "ConfigMap", f"{name}-config")["data"]
    for key, text in data.items():
        (folder / key).write_text(text)
    return folder / "fleet.yaml"


def test_two_gateways_that_go_one_at_a_time(tmp_path: Path) -> None:
    spec = one(files(tmp_path), "Deployment", "f-gateway")["spec"]
    assert spec["replicas"] == 2
    assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    (container,) = spec["template"]["spec"]["containers"]
    assert container["args"] == ["gateway", "serve", "/etc/headrace/fleet.yaml"]
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "admin"}


def test_the_admin_service_has_every_gateway_also_one_that_drains(tmp_path: Path) -> None:
    spec = one(files(tmp_path), "Service", "f-gateway-admin")["spec"]
    assert (spec["clusterIP"], spec["publishNotReadyAddresses"]) == ("None", True)
    assert spec["ports"] == [{"name": "admin", "port": 8081, "targetPort": "admin"}]


def test_rights_are_to_read_endpointslices_of_the_namespace_and_the_scalers_pods(
    tmp_path: Path,
) -> None:
    made = files(tmp_path)
    endpoints = {
        "apiGroups": ["discovery.k8s.io"],
        "resources": ["endpointslices"],
        "verbs": ["list", "watch"],
    }
    pods = {"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]}
    assert one(made, "Role", "f-gateway")["rules"] == [endpoints]
    assert one(made, "Role", "f-scaler")["rules"] == [endpoints, pods]  # their status; no logs
    assert len([one_ for one_ in objects(made) if one_["kind"] == "Role"]) == 2
    assert not {"ClusterRole", "ClusterRoleBinding"} & kinds(made)


def test_the_file_in_the_cluster_is_settled_and_checks_out(tmp_path: Path) -> None:
    path = _config(tmp_path, example("kubernetes/chat-8b.yaml"), "chat-8b")
    text = path.read_text()
    assert "auto" not in [line.split("#")[0].split(":")[-1].strip() for line in text.splitlines()]
    assert "# waiting requests for each replica" in text
    fleet = load_fleet(path).fleet
    assert not fleet.deployments["chat"].open
    gateway = fleet.gateway
    assert (gateway.host, gateway.port) == ("0.0.0.0", 8080)  # noqa: S104 - in a Pod
    assert (gateway.admin_host, gateway.admin_port) == ("0.0.0.0", 8081)  # noqa: S104 - in a Pod


def test_the_pod_asks_for_what_the_gateway_thinks_there_is(tmp_path: Path) -> None:
    made = example("kubernetes/chat-8b.yaml")
    fleet = load_fleet(_config(tmp_path, made, "chat-8b")).fleet
    spec = one(made, "Deployment", "chat-8b-chat")["spec"]["template"]["spec"]
    args = spec["containers"][0]["args"]
    assert args[args.index("--max-num-seqs") + 1] == str(fleet.deployments["chat"].max_num_seqs)


def test_shared_parts_of_a_file_stay_shared(tmp_path: Path) -> None:
    fleet = load_fleet(_config(tmp_path, example("kubernetes/five-engines.yaml"), "five")).fleet
    assert {one_.engine.name for one_ in fleet.deployments.values()} == {
        "vllm", "tgi", "triton", "trtllm", "sglang"
    }  # fmt: skip


def test_an_edited_file_restarts_nothing(tmp_path: Path) -> None:
    before, after = files(tmp_path), files(tmp_path, route=", priority: high")
    assert one(before, "ConfigMap", "f-config") != one(after, "ConfigMap", "f-config")
    for name in ("f-gateway", "f-scaler", "f-d"):
        assert one(before, "Deployment", name) == one(after, "Deployment", name)


def test_rights_suffice_for_what_watches(tmp_path: Path) -> None:
    assert one(files(tmp_path), "Role", "f-gateway")["rules"] == [
        {
            "apiGroups": ["discovery.k8s.io"],
            "resources": ["endpointslices"],
            "verbs": ["list", "watch"],
        }
    ]


def test_the_scaler_is_ready_once_it_knows_the_gateways(tmp_path: Path) -> None:
    pod = one(files(tmp_path), "Deployment", "f-scaler")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["args"] == ["scaler", "/etc/headrace/fleet.yaml"]
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "admin"}
    assert {"name": "admin", "containerPort": 9091} in container["ports"]


def test_keys_come_from_a_secret(tmp_path: Path) -> None:
    made = files(tmp_path, more="gateway: {keys: secrets/keys.yaml}\n")
    pod = one(made, "Deployment", "f-gateway")["spec"]["template"]["spec"]
    (config,) = (volume for volume in pod["volumes"] if volume["name"] == "config")
    item = {"key": "keys.yaml", "path": "keys.yaml"}
    assert {"secret": {"name": "f-keys", "items": [item]}} in config["projected"]["sources"]
    text = one(made, "ConfigMap", "f-config")["data"]["fleet.yaml"]
    assert pyyaml.safe_load(text)["gateway"]["keys"] == "keys.yaml"


def test_nothing_is_exposed_unless_asked(tmp_path: Path) -> None:
    assert not {"Ingress", "HTTPRoute"} & kinds(files(tmp_path))


def test_a_route_is_more_patient_than_the_gateway(tmp_path: Path) -> None:
    made = files(tmp_path, Options(expose=Expose("httproute", "llm.example.com", "infra/public")))
    spec = one(made, "HTTPRoute", "f-gateway")["spec"]
    assert spec["parentRefs"] == [{"name": "public", "namespace": "infra"}]
    (rule,) = spec["rules"]
    assert rule["timeouts"] == {"request": "3660s", "backendRequest": "3660s"}
    assert rule["backendRefs"] == [{"name": "f-gateway", "port": 80}]


def test_an_ingress_neither_buffers_nor_gives_up(tmp_path: Path) -> None:
    made = files(tmp_path, Options(expose=Expose("ingress", "llm.example.com")))
    ingress = one(made, "Ingress", "f-gateway")
    prefix = "nginx.ingress.kubernetes.io"
    assert ingress["metadata"]["annotations"] == {
        f"{prefix}/proxy-read-timeout": "3660",
        f"{prefix}/proxy-send-timeout": "3660",
        f"{prefix}/proxy-buffering": "off",
        f"{prefix}/proxy-body-size": "32m",
    }


@pytest.mark.parametrize("fleet", ["laptop.yaml", "kubernetes/five-engines.yaml"])
def test_selectors_pick_exactly_their_own_pods(fleet: str) -> None:
    made = example(fleet)
    pods: dict[str, dict[str, str]] = {}
    for one_ in objects(made):
        if one_["kind"] in {"Deployment", "Job"}:
            key = f"{one_['kind']} {one_['metadata']['name']}"
            pods[key] = one_["spec"]["template"]["metadata"]["labels"]

    def picked(selector: dict[str, Any]) -> set[str]:
        return {name for name, labels in pods.items() if selector.items() <= labels.items()}

    for one_ in objects(made):
        spec, name = one_.get("spec", {}), one_.get("metadata", {}).get("name", "")
        if one_["kind"] in {"Deployment", "PodDisruptionBudget", "PodMonitor"}:
            assert picked(spec["selector"]["matchLabels"]) == {f"Deployment {name}"}
        if one_["kind"] == "Service":
            assert picked(spec["selector"]) == {f"Deployment {name.removesuffix('-admin')}"}
