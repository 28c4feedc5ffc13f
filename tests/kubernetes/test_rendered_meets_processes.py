"""What is rendered and what runs in the Pods agree on names, ports, rights and words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from render_kit import example, files, objects, one

from headrace.kubernetes import answers, edition, names, serve
from headrace.kubernetes.render import Rendered


def ports(service: dict[str, Any]) -> list[str]:
    return [port["name"] for port in service["spec"]["ports"]]


def test_services_have_the_ports_that_are_looked_for(tmp_path: Path) -> None:
    rendered = files(tmp_path)
    assert serve.ENGINE_PORT in ports(one(rendered, "Service", names.engine("f", "d")))
    assert names.ADMIN in ports(one(rendered, "Service", names.gateway_admin("f")))


@pytest.mark.parametrize("component", ["gateway", "scaler"])
def test_rights_suffice(tmp_path: Path, component: str) -> None:
    role = one(files(tmp_path), "Role", f"f-{component}")
    assert {
        "apiGroups": ["discovery.k8s.io"],
        "resources": ["endpointslices"],
        "verbs": ["list", "watch"],
    } in role["rules"]


@pytest.mark.parametrize("name", ["laptop.yaml", "many.yaml", "twin.yaml"])
def test_the_file_in_the_pods_is_served_and_its_triggers_are_known(
    tmp_path: Path, name: str
) -> None:
    rendered = example(name)
    config = next(made for made in objects(rendered) if "fleet.yaml" in made.get("data", ()))
    mounted = tmp_path / "fleet.yaml"
    mounted.write_text(config["data"]["fleet.yaml"])
    found = edition.read(mounted)
    assert found.served.keys() == found.file.fleet.deployments.keys()
    for metadata in _external(rendered):
        asked = answers.asked(found.file.fleet, metadata)
        assert len(asked.triggers) == len(
            found.file.fleet.deployments[asked.deployment].scaling.triggers
        )


def _external(rendered: list[Rendered]) -> list[dict[str, str]]:
    found = [
        trigger["metadata"]
        for made in objects(rendered)
        if made["kind"] == "ScaledObject"
        for trigger in made["spec"]["triggers"]
        if trigger["type"] == "external-push"
    ]
    assert found
    return found


def test_the_processes_are_called_as_they_are(tmp_path: Path) -> None:
    for name, words in (("f-gateway", ["gateway", "serve"]), ("f-scaler", ["scaler"])):
        pod = one(files(tmp_path), "Deployment", name)["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        assert container["args"] == [*words, names.CONFIG_FILE]
        told = {variable["name"] for variable in container["env"]}
        assert {"POD_NAMESPACE", "HEADRACE_STATE"} <= told
