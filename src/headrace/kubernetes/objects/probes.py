"""Probes as Kubernetes writes them, with what their answers mean.

None of them knows the known prompt: a Pod that is Ready has a listening engine. The gateway asks
the known prompt before the Pod gets its first request, and again while it serves.
"""

from __future__ import annotations

from typing import Any

from headrace.engines.container import Container, Probe
from headrace.kubernetes.notes import Noted


def probes(container: Container) -> Noted:
    """Return the three probes of a container that has HTTP."""
    startup, ready, alive = container.startup, container.readiness, container.liveness
    longest = startup.period * startup.failures
    return Noted(
        {
            "startupProbe": _probe(startup, container),
            "readinessProbe": _probe(ready, container),
            "livenessProbe": _probe(alive, container),
        },
        {
            "startupProbe": f"lifecycle.startup: {startup.failures} x {startup.period} s ="
            f" {longest} s to load and warm up; the other probes wait for it. 200 means: "
            + startup.means,
            "readinessProbe": "not the last word: the gateway asks the known prompt before it sends"
            f" anything. 200 means: {ready.means}",
            "livenessProbe": f"restarts after {alive.failures} x {alive.period} s of failures, so"
            f" that a slow step is no death. 200 means: {alive.means}",
        },
    )


def _probe(probe: Probe, container: Container) -> dict[str, Any]:
    port = port_name(container, probe.port)
    return {
        "httpGet": {"path": probe.path, "port": port},
        "periodSeconds": probe.period,
        "timeoutSeconds": probe.timeout,
        "failureThreshold": probe.failures,
    }


def port_name(container: Container, name: str) -> str:
    """Return under which name a port is listed: of several with one number the first counts.

    Server-side apply identifies a port by its number, so each number may be there only once.
    """
    number = container.ports[name]
    return next(known for known, one in container.ports.items() if one == number)


def ports(container: Container) -> list[dict[str, Any]]:
    """Return the ports, each number once."""
    listed = [name for name in container.ports if port_name(container, name) == name]
    return [{"name": name, "containerPort": container.ports[name]} for name in listed]
