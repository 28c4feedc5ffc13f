"""The end of a fleet, in order: clients, gateway, engines; faster each time somebody insists.

`supervisor.py` calls `end` when it was told to stop.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from headrace.local.gateway_link import GatewayLink
from headrace.local.replicaset import ReplicaSet
from headrace.local.stopping import Patience, Urgency
from headrace.local.waiting import cancel, first

_AFTER_DRAIN = 5.0
"""Seconds that the gateway gets beyond its drain before it is killed."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def signals(hurry: Callable[[], None]) -> Iterator[None]:
    """Have Ctrl-C, SIGTERM and the end of the terminal call `hurry`, each time.

    One that was ignored from the start stays so: that is what `nohup` means.
    """
    loop = asyncio.get_running_loop()
    heard = [number for number in _SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
    for number in heard:
        loop.add_signal_handler(number, hurry)
    try:
        yield
    finally:
        for number in heard:
            loop.remove_signal_handler(number)


async def end(
    link: GatewayLink,
    linking: asyncio.Task[None],
    sets: Sequence[ReplicaSet],
    patience: Patience,
) -> None:
    """Return when neither the gateway nor any engine is left."""
    for replicas in sets:
        replicas.close_unready()
    await _end_gateway(link, linking, sets, patience)
    _close(sets, Urgency.TERM)
    killing = asyncio.create_task(_kill_when_asked(sets, patience))
    await asyncio.gather(*(replicas.closed() for replicas in sets))
    await cancel(killing)


async def _end_gateway(
    link: GatewayLink,
    linking: asyncio.Task[None],
    sets: Sequence[ReplicaSet],
    patience: Patience,
) -> None:
    """Let requests in flight finish, within the longest drain of all deployments."""
    drain = max((one.blueprint.deployment.lifecycle.drain for one in sets), default=0.0)
    link.drain(drain)
    await first(linking, patience.lost(Urgency.TERM), within=drain + _AFTER_DRAIN)
    link.kill()
    await asyncio.wait([linking])


async def _kill_when_asked(sets: Sequence[ReplicaSet], patience: Patience) -> None:
    await patience.lost(Urgency.KILL)
    _close(sets, Urgency.KILL)


def _close(sets: Sequence[ReplicaSet], urgency: Urgency) -> None:
    for replicas in sets:
        replicas.close(urgency)
