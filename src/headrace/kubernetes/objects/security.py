"""What no container may do: run as root, gain privileges, write its root, make odd system calls."""

from __future__ import annotations

from typing import Any

HEADRACE_USER = 10001
"""The user of Headrace's own image (Dockerfile)."""


def container(user: int | None, *, read_only: bool = True) -> dict[str, Any]:
    """Return a container's security context; `user` None: the image knows only its own."""
    made: dict[str, Any] = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": read_only,
    }
    if user is None:
        return made
    return made | {"runAsNonRoot": True, "runAsUser": user, "runAsGroup": user}


def pod(group: int | None = None) -> dict[str, Any]:
    """Return a Pod's security context; with a `group`, that may write the Pod's volumes."""
    made: dict[str, Any] = {"seccompProfile": {"type": "RuntimeDefault"}}
    if group is not None:
        # Without the policy the kubelet would walk through all weights at each start.
        made |= {"fsGroup": group, "fsGroupChangePolicy": "OnRootMismatch"}
    return made


def level(*, host_paths: bool, roots: bool) -> tuple[str, str]:
    """Return the Pod Security level that a namespace can enforce, and why no stricter one."""
    if host_paths:
        return "privileged", "node-local weights are a hostPath, which baseline forbids as well"
    if roots:
        return "baseline", "an engine's image runs only as its own user, which may be root"
    return "restricted", "no Pod here needs more"
