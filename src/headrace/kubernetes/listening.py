"""The sockets of a process in the cluster, or why they cannot be had."""

from __future__ import annotations

import socket

from headrace.gateway.process import listen
from headrace.kubernetes.errors import ClusterError


class ListenError(ClusterError):
    """An address cannot be listened on."""

    def __init__(self, address: str, why: object) -> None:
        super().__init__(f"cannot listen on {address}: {why}; give another HOST:PORT")


def bound(address: str) -> socket.socket:
    """Return a socket bound to HOST:PORT; ListenError."""
    try:
        return listen(address)
    except (OSError, ValueError, OverflowError) as error:  # the latter two: no port
        raise ListenError(address, getattr(error, "strerror", None) or error) from error
