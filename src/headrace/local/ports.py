"""Ports: the one that clients know, and one for each replica that the system chooses.

The gateway's socket is bound here, before anything starts; `gateway_link.py` hands it down.
"""

from __future__ import annotations

import errno
import socket

import psutil

from headrace.local.errors import LocalError

_BACKLOG = 1024


class PortError(LocalError):
    """The address cannot be listened on; the message says why, by whom, and what to do."""


def listen(host: str, port: int) -> socket.socket:
    """Return a listening TCP socket (port 0: the system chooses); PortError: what is in the way."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=_BACKLOG)
    except socket.gaierror as error:
        raise PortError(f"gateway.host '{host}' is not an address of this machine") from error
    except OSError as error:
        raise PortError(_reason(error, host, port)) from error


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port that was free a moment ago; another process may still take it first."""
    with socket.create_server((host, 0)) as server:
        return int(server.getsockname()[1])


def _reason(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} on {host} is taken{_holder(port)}; stop that, or set gateway.port to "
            "another port (0: the system chooses)"
        )
    if error.errno == errno.EACCES:
        return f"port {port} on {host} needs privileges; set gateway.port to 1024 or above"
    return (
        f"cannot listen on {host} port {port}: {error.strerror}; set gateway.host or gateway.port"
    )


def _holder(port: int) -> str:
    try:
        found = psutil.net_connections(kind="tcp")
    except psutil.AccessDenied:
        return ""
    for connection in found:
        listens = connection.status == psutil.CONN_LISTEN
        if listens and connection.laddr and connection.laddr.port == port:
            return _describe(connection.pid)
    return ""


def _describe(pid: int | None) -> str:
    if pid is None:
        return " by a process of another user"
    try:
        command = " ".join(psutil.Process(pid).cmdline()[:4])
    except psutil.Error:
        command = ""
    return f" by process {pid}" + (f" ({command[:80]})" if command else "")
