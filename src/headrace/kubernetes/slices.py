"""The Pods behind Services, as EndpointSlices tell of them.

A Pod that is being deleted is `terminating` there from the moment it is marked, long before its
process hears of it. A Service may have several slices, and a Pod be in two of them: in two families
of addresses, or for a moment while slices are rearranged. `services.py` watches them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from headrace.kubernetes.resource import Object

SERVICE = "kubernetes.io/service-name"
"""Label of a slice: the Service that it belongs to."""
FAMILIES = ("IPv4", "IPv6")
"""Kinds of addresses, the preferred one first; names (FQDN) are nothing to connect to."""


@dataclass(frozen=True)
class Endpoint:
    """One Pod and where it listens.

    `serving` says that its readiness probe succeeds; `ready` that it may get new work: it serves
    and is not terminating, or its Service publishes Pods that are not ready.
    """

    pod: str
    uid: str
    address: str
    port: int
    ready: bool
    serving: bool
    terminating: bool

    @property
    def base(self) -> str:
        """Return the address of its HTTP API."""
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"http://{host}:{self.port}"


def endpoints(slices: Iterable[Object], port: str) -> dict[str, dict[str, Endpoint]]:
    """Return the endpoints that have a port of that name, by Service and by Pod."""
    found: defaultdict[str, dict[str, Endpoint]] = defaultdict(dict)
    for one in sorted(slices, key=_family):
        service = (one["metadata"].get("labels") or {}).get(SERVICE)
        number = _port(one, port)
        if service is None or number is None or one.get("addressType") not in FAMILIES:
            continue
        for written in one.get("endpoints") or []:
            if written.get("addresses"):
                endpoint = _endpoint(written, number)
                pods = found[service]
                pods[endpoint.pod] = _merged(pods.get(endpoint.pod), endpoint)
    return found


def _family(one: Object) -> tuple[str, str]:
    return str(one.get("addressType")), str(one["metadata"].get("name"))


def _port(one: Object, name: str) -> int | None:
    ports = one.get("ports") or []
    return next((item.get("port") for item in ports if item.get("name") == name), None)


def _endpoint(written: Mapping[str, Any], port: int) -> Endpoint:
    """Read one endpoint; a condition that is not known means what the API says it should."""
    conditions = written.get("conditions") or {}
    ready = conditions.get("ready") is not False
    serving = conditions.get("serving")
    address = written["addresses"][0]
    target = written.get("targetRef") or {}
    return Endpoint(
        pod=target.get("name") or address,
        uid=target.get("uid") or address,
        address=address,
        port=port,
        ready=ready,
        serving=ready if serving is None else serving,
        terminating=bool(conditions.get("terminating")),
    )


def _merged(first: Endpoint | None, second: Endpoint) -> Endpoint:
    """Return what two slices say of a Pod, in doubt that it is leaving.

    Of two Pods of one name the one that stays counts.
    """
    if first is None:
        return second
    if first.uid != second.uid:
        return first if second.terminating else second
    return replace(
        first,
        ready=first.ready and second.ready,
        serving=first.serving and second.serving,
        terminating=first.terminating or second.terminating,
    )
