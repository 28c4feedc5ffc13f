"""The sum of gateways' demand: what is added, what is kept, and when nobody knows."""

from __future__ import annotations

import pytest

from headrace.gateway.control import Demand
from headrace.kubernetes.answers import (
    Asked,
    UnknownDemandError,
    active,
    metric_names,
    values,
    wakes,
)
from headrace.kubernetes.demand import FORGET, FleetDemand, Total
from headrace.scaling.policy import Trigger


def demand(held: int = 0, running: int = 0) -> Demand:
    routes = {"r": (held, running)}
    return Demand(
        deployment="d", held=held, queued=0, running=running, arrived=9, replicas={}, routes=routes
    )


@pytest.fixture
def books() -> FleetDemand:
    made = FleetDemand(keep=10)
    made.see({"a": True, "b": True})
    made.heard("a", [demand(2, 3)], now=100)
    made.heard("b", [demand(1, 0)], now=100)
    return made


def test_all_gateways_are_added(books: FleetDemand) -> None:
    total = books.total("d", now=101)
    assert (total.demand.held, total.demand.running, total.unknown) == (3, 3, "")
    assert total.demand.routes == {"r": (3, 3)}


def test_a_silent_gateway_keeps_its_clients_for_a_while_and_then_nobody_knows(
    books: FleetDemand,
) -> None:
    books.failed("a", "ConnectError")
    books.heard("b", [demand(1, 0)], now=110)
    assert books.total("d", now=110) == books.total("d", now=101)
    total = books.total("d", now=110.5)
    assert total.unknown == "gateway a is silent for 10 s (ConnectError)"
    assert (total.demand.held, total.demand.running) == (1, 0)  # at least that much
    books.see({"b": True})
    assert books.total("d", now=110.5).unknown == ""


def test_one_that_is_not_ready_and_was_never_heard_has_no_clients_yet(books: FleetDemand) -> None:
    books.see({"a": True, "b": True, "new": False})
    assert books.total("d", now=101).unknown == ""
    books.see({"a": True, "b": True, "new": True})
    assert books.total("d", now=101).unknown == "gateway new never answered (it was not asked yet)"


def test_one_whose_node_is_gone_does_not_stop_all_scaling_for_ever(books: FleetDemand) -> None:
    books.see({"a": False, "b": True})
    then = 100 + FORGET
    books.heard("b", [demand(1, 0)], now=then)
    assert "gateway a is silent for 300 s" in books.total("d", now=then).unknown
    total = books.total("d", now=then + 0.1)
    assert (total.demand.held, total.unknown) == (1, "")
    books.see({"a": True, "b": True})  # a ready one that is silent is an error for ever
    assert "gateway a is silent" in books.total("d", now=then + 0.1).unknown


def test_no_gateway_and_an_unknown_deployment_are_not_zero(books: FleetDemand) -> None:
    assert books.total("x", now=101).unknown == "no gateway that answers serves x"
    books.see({})
    assert books.total("d", now=101).unknown == "no gateway that answers serves d"


# Activity, as KEDA defines it: strictly greater than the activation.
WAITING = Asked("d", {"waiting": Trigger("waiting", target=5, activation=2)})


@pytest.mark.parametrize(
    ("held", "running", "unknown", "is_active", "does_wake"),
    [
        (0, 0, "", False, False),
        (2, 0, "", False, False),
        (3, 0, "", True, True),
        (0, 1, "", True, False),  # busy: not put to sleep, but nothing to wake for
        (3, 0, "a is silent", True, True),  # what is known is enough
        (0, 1, "a is silent", True, False),
        (2, 0, "a is silent", None, False),
        (0, 0, "a is silent", None, False),
    ],
)
def test_what_is_active(
    held: int, running: int, unknown: str, is_active: bool | None, does_wake: bool
) -> None:
    total = Total(demand(held, running), unknown)
    assert wakes(WAITING, total) is does_wake
    if is_active is None:
        with pytest.raises(UnknownDemandError, match="demand of d is not known: a is silent"):
            active(WAITING, total)
    else:
        assert active(WAITING, total) is is_active
    if unknown:
        with pytest.raises(UnknownDemandError):
            values(WAITING, total)
    else:
        assert values(WAITING, total) == {"waiting": held}


def test_each_metric_has_a_name_of_its_own() -> None:
    triggers = [
        Trigger("waiting", 5),
        Trigger("waiting", 5, route="chat"),
        Trigger("waiting", 7),
        Trigger("demand", 7),
    ]
    assert list(metric_names(triggers)) == ["waiting", "waiting-chat", "waiting-2", "demand"]
