"""EndpointSlices as the API defines them: conditions that are missing, Pods that are in two."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.kubernetes.slices import Endpoint, endpoints


def one(
    name: str, *written: dict[str, Any], family: str = "IPv4", port: str | None = "http"
) -> dict[str, Any]:
    ports = None if port is None else [{"name": "other", "port": 1}, {"name": port, "port": 8000}]
    labels = {"kubernetes.io/service-name": "s"}
    return {
        "metadata": {"name": name, "labels": labels},
        "addressType": family,
        "endpoints": list(written) or None,
        "ports": ports,
    }


def pod(name: str, address: str = "10.0.0.1", uid: str = "", **conditions: Any) -> dict[str, Any]:
    return {
        "addresses": [address],
        "conditions": conditions,
        "targetRef": {"kind": "Pod", "name": name, "uid": uid or f"uid-{name}"},
    }


def found(*slices: dict[str, Any]) -> dict[str, Endpoint]:
    return endpoints(slices, "http").get("s", {})


@pytest.mark.parametrize(
    ("conditions", "ready", "serving", "terminating"),
    [
        ({"ready": True, "serving": True, "terminating": False}, True, True, False),
        ({"ready": False, "serving": True, "terminating": True}, False, True, True),
        ({"ready": False}, False, False, False),  # serving is as ready where nobody says
        ({}, True, True, False),  # "nil should be interpreted as true"
        ({"ready": None, "serving": None, "terminating": None}, True, True, False),
        # A Service that publishes Pods which are not ready says ready of all.
        ({"ready": True, "serving": False, "terminating": True}, True, False, True),
    ],
)
def test_conditions(
    conditions: dict[str, Any], ready: bool, serving: bool, terminating: bool
) -> None:
    seen = found(one("a", pod("p", **conditions)))["p"]
    assert (seen.ready, seen.serving, seen.terminating) == (ready, serving, terminating)
    assert seen.base == "http://10.0.0.1:8000"


def test_of_two_families_the_first_address_counts() -> None:
    six = one("a", pod("p", "fd00::1"), family="IPv6")
    assert found(six, one("b", pod("p")))["p"].address == "10.0.0.1"
    assert found(six)["p"].base == "http://[fd00::1]:8000"


def test_a_pod_in_two_slices_is_leaving_if_one_says_so() -> None:
    stays = one("a", pod("p", ready=True))
    leaves = one("b", pod("p", ready=False, serving=True, terminating=True))
    for order in ((stays, leaves), (leaves, stays)):
        seen = found(*order)["p"]
        assert (seen.ready, seen.terminating) == (False, True)


def test_of_two_pods_of_one_name_the_new_one_counts() -> None:
    old = one("a", pod("p", "10.0.0.1", uid="1", ready=False, terminating=True))
    new = one("b", pod("p", "10.0.0.2", uid="2", ready=False))
    assert [found(*order)["p"].address for order in ((old, new), (new, old))] == ["10.0.0.2"] * 2


def test_what_has_no_such_port_no_address_or_no_service_is_left_out() -> None:
    assert found(one("a", pod("p"), port="metrics")) == {}
    assert found(one("a", pod("p"), port=None)) == {}
    assert found(one("a", pod("p", "x.example"), family="FQDN")) == {}
    assert found(one("a")) == {}
    nameless = one("a", pod("p"))
    nameless["metadata"]["labels"] = None
    assert endpoints([nameless], "http") == {}
    unnamed = one("a", {"addresses": ["10.0.0.9"]})
    assert found(unnamed)["10.0.0.9"].uid == "10.0.0.9"
