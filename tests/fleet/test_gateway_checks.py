"""What is contradictory, and what is only unwise, in a fleet file."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.fleet.checks import warnings
from headrace.fleet.load import load_fleet
from headrace.fleet.problems import FleetError

FLEET = """\
fleet: f
models: {m: {weights: "hf://org/name@0123456789abcdef0123456789abcdef01234567"}}
hardware: {h: {kind: cpu}}
deployments: {d: {model: m, hardware: h}}
routes: {r: {match: {model: [m]}, deployment: d}}
gateway: {%s}
"""


def fleet_file(tmp_path: Path, gateway: str) -> Path:
    path = tmp_path / "fleet.yaml"
    path.write_text(FLEET % gateway)
    return path


@pytest.mark.parametrize(
    ("gateway", "fields"),
    [
        ("", []),
        ("host: 127.0.0.1", []),
        ("host: 127.9.9.9", []),
        ("host: '::1'", []),
        ("host: localhost", []),
        ("host: 0.0.0.0", ["host"]),
        ("host: '::'", ["host"]),
        ("host: 10.1.2.3", ["host"]),
        ("host: gateway.example", ["host"]),
        ("host: 0.0.0.0, keys: keys.yaml", []),
        ("admin_host: 0.0.0.0", ["admin_host"]),
    ],
)
def test_an_open_address_without_keys_is_warned_of(
    tmp_path: Path, gateway: str, fields: list[str]
) -> None:
    fleet = load_fleet(fleet_file(tmp_path, gateway)).fleet
    assert [path[1] for path, _ in warnings(fleet)] == fields


def test_two_addresses_need_two_ports(tmp_path: Path) -> None:
    with pytest.raises(FleetError, match=r"yaml:6: gateway.admin_port: 9000 is the API's port"):
        load_fleet(fleet_file(tmp_path, "port: 9000, admin_port: 9000"))
    with pytest.raises(FleetError, match="API's port"):
        load_fleet(fleet_file(tmp_path, "host: 0.0.0.0, port: 9000, admin_port: 9000"))
    load_fleet(fleet_file(tmp_path, "port: 0, admin_port: 0"))
    load_fleet(fleet_file(tmp_path, "host: 10.1.2.3, port: 9000, admin_port: 9000"))


@pytest.mark.parametrize(
    ("deployment", "target"),
    [
        ("scaling: {max: 3}", "48"),  # the default trigger, of the default 64 at once
        ("max_num_seqs: 16, scaling: {max: 2, triggers: [{signal: waiting, target: 2}]}", "12"),
        ("scaling: {min: 0, max: 2, triggers: [{signal: waiting, target: 2, route: r}]}", "48"),
        ("max_num_seqs: auto, scaling: {max: 3}", "N"),  # the plan has not chosen yet
        ("scaling: {min: 0, max: 1}", None),
        ("scaling: {min: 2, max: 2}", None),
        ("scaling: {max: 3, triggers: [{signal: demand, target: 9}]}", None),
    ],
)
def test_a_queue_that_alone_decides_lets_go_of_what_it_brought(
    tmp_path: Path, deployment: str, target: str | None
) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_text((FLEET % "").replace("hardware: h}", f"hardware: h, {deployment}}}"))
    found = list(warnings(load_fleet(path).fleet))
    if target is None:
        assert found == []
    else:
        ((where, message),) = found
        assert where == ("deployments", "d", "scaling", "triggers")
        assert f"add {{signal: demand, target: {target}}}," in message


@pytest.mark.parametrize(
    ("scaling", "told"),
    [
        ("min: 1, max: 2, cooldown: 5m, triggers: [{signal: demand, target: 9}]", ["cooldown"]),
        (
            "min: 2, max: 3, triggers: [{signal: demand, target: 9, activation: 2}]",
            ["triggers.0.activation"],
        ),
        (
            "min: 0, max: 2, cooldown: 5m, triggers: [{signal: demand, target: 9, activation: 2}]",
            [],
        ),
        ("min: 1, max: 2, triggers: [{signal: demand, target: 9}]", []),
    ],
)
def test_what_is_about_zero_changes_nothing_where_that_is_never_reached(
    tmp_path: Path, scaling: str, told: list[str]
) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_text((FLEET % "").replace("hardware: h}", f"hardware: h, scaling: {{{scaling}}}}}"))
    found = list(warnings(load_fleet(path).fleet))
    assert [".".join(map(str, where[3:])) for where, _ in found] == told
    assert all("it is about zero" in message for _, message in found)
