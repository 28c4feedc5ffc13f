"""Ports: the two that others know, and one for each replica that the system chooses.

The gateway's sockets are bound here, before anything starts; `gateway_link.py` hands them down.
"""

from __future__ import annotations

import errno
import os
import socket

import psutil

from headrace.local.errors import LocalError
from headrace.local.state import Holder, running_fleets

_BACKLOG = 1024


class PortError(LocalError):
    """The address cannot be listened on; the message says why, by whom, and what to do.

    `field` is the part of the fleet file that would mend it.
    """

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message)
        self.field = field


def listen(host: str, port: int, prefix: str = "") -> socket.socket:
    """Return a listening TCP socket (port 0: the system chooses); PortError: what is in the way.

    The address is gateway.host and gateway.port of the fleet file, with `prefix` before both.
    """
    host_field, port_field = f"{prefix}host", f"{prefix}port"
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=_BACKLOG)
    except socket.gaierror as error:
        message = f"gateway.{host_field} '{host}' is not an address of this machine"
        raise PortError(message, host_field) from error
    except OSError as error:
        raise PortError(_reason(error, host, port, prefix), port_field) from error


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port that was free a moment ago; another process may still take it first."""
    with socket.create_server((host, 0)) as server:
        return int(server.getsockname()[1])


def _reason(error: OSError, host: str, port: int, prefix: str) -> str:
    host_field, port_field = f"gateway.{prefix}host", f"gateway.{prefix}port"
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} on {host} is taken{_holder(port)}; stop that, or set {port_field} to "
            "another port (0: the system chooses)"
        )
    if error.errno == errno.EACCES:
        return f"port {port} on {host} needs privileges; set {port_field} to 1024 or above"
    why = error.strerror
    return f"cannot listen on {host} port {port}: {why}; set {host_field} or {port_field}"


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
    fleet = _fleet(pid)
    if fleet is not None:
        return f" by the fleet '{fleet.fleet}' (`headrace down {fleet.file}`)"
    try:
        command = " ".join(psutil.Process(pid).cmdline()[:4])
    except psutil.Error:
        command = ""
    return f" by process {pid}" + (f" ({command[:80]})" if command else "")


def _fleet(pid: int) -> Holder | None:
    """Return the other fleet that the process belongs to, if it does to one."""
    try:
        family = {pid, *(one.pid for one in psutil.Process(pid).parents())} - {os.getpid()}
    except psutil.Error:
        return None
    return next((who for _, who in running_fleets() if who.pid in family), None)
