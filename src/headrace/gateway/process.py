"""What a process needs before it serves as a gateway, whoever started it.

`__main__.py` is a gateway under a runtime or by itself; `headrace.kubernetes.serve` is one in a
cluster.
"""

from __future__ import annotations

import contextlib
import gc
import resource
import socket

import prometheus_client


def prepare() -> None:
    """Make the process fit for many streams; call it once, after everything is imported."""
    # A `_created` series for every counter doubles the exposition and nobody reads it.
    prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]  # has no types
    _allow_files()
    # A stream makes no reference cycles; a full collection would only delay the others.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def _allow_files() -> None:
    """Open as many files as we may: each stream takes two, and 1024 is an old default."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # some systems refuse their own maximum
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def listen(address: str) -> socket.socket:
    """Return a socket bound to HOST:PORT; OSError if it cannot be."""
    host, _, port = address.rpartition(":")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host.strip("[]"), int(port)))
    return listener
