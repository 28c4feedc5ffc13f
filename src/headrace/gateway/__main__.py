"""`python -m headrace.gateway`: one gateway process.

A runtime starts it with inherited descriptors: its end of a control socket, a listening socket, and
one for the admin address. Benchmarks and tests start it with an address and a file of the messages
that a runtime would send; without an admin address `/metrics` is on the public one.
"""

from __future__ import annotations

import argparse
import socket
from collections.abc import Sequence
from pathlib import Path

import msgspec
import uvloop

from headrace.gateway import control
from headrace.gateway.process import listen, prepare
from headrace.gateway.service import DRAIN_TIMEOUT, Service


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until drained."""
    options = _parse(arguments)
    messages: list[control.ToGateway] = []
    if options.static:
        messages = msgspec.json.decode(
            Path(options.static).read_bytes(), type=list[control.ToGateway]
        )
    link = socket.socket(fileno=options.control_fd) if options.control_fd is not None else None
    listener = listen(options.listen) if options.listen else socket.socket(fileno=options.listen_fd)
    admin = listen(options.admin) if options.admin else None
    if options.admin_fd is not None:
        admin = socket.socket(fileno=options.admin_fd)
    prepare()
    uvloop.run(_serve(listener, link, admin, messages, options.drain_timeout))


async def _serve(
    listener: socket.socket,
    link: socket.socket | None,
    admin: socket.socket | None,
    messages: Sequence[control.ToGateway],
    drain_timeout: float,
) -> None:
    await Service(listener, link, admin=admin, drain_timeout=drain_timeout).run(messages)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m headrace.gateway", description=__doc__)
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--listen", metavar="HOST:PORT", help="address to serve on")
    place.add_argument("--listen-fd", type=int, metavar="N", help="inherited listening socket")
    admin = parser.add_mutually_exclusive_group()
    admin.add_argument("--admin", metavar="HOST:PORT", help="address of /metrics and health")
    admin.add_argument("--admin-fd", type=int, metavar="N", help="inherited socket for the same")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--static", metavar="FILE", help="JSON array of control messages")
    source.add_argument("--control-fd", type=int, metavar="N", help="inherited control socket")
    parser.add_argument(
        "--drain-timeout", type=float, default=DRAIN_TIMEOUT, metavar="SECONDS",
        help="to finish running work on SIGTERM or when the runtime is gone (default %(default)s)",
    )  # fmt: skip
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
