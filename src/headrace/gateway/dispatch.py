"""A lane: one deployment's queue at work, with real connections, a real clock and demand messages.

The rules are in `routing/queue.py`, and in `routing/suspicion.py` who is trusted; a lane carries
them out. Whatever may change what the queue would do (a request comes, ends or fails; replicas
change; time passes) ends in `_pump`. An exchange tells of each attempt `began`, then `ended`, then
`release` or `retry`, in this order.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING

from headrace.gateway import control, errors
from headrace.gateway.upstream import Pool
from headrace.routing import suspicion
from headrace.routing.choose import Place
from headrace.routing.pace import Pace, retry_after
from headrace.routing.queue import Ticket, WorkQueue
from headrace.routing.window import SECONDS, quantile

if TYPE_CHECKING:
    from headrace.gateway.errors import Failure
    from headrace.gateway.exchange import Exchange

SKIP_FOR = 1.0
"""Seconds without new work for a replica that has just failed to take some."""
DEMAND_EVERY = 0.1
"""Least seconds between two demand messages of one lane."""

Tell = Callable[[control.FromGateway], None]


class Lane:
    """One deployment's queue, pools and demand."""

    def __init__(self, config: control.Deployment, tell: Tell) -> None:
        self.config = config
        self.queue: WorkQueue[Exchange] = WorkQueue(
            config.queue_limit, config.max_wait, monotonic()
        )
        self._tell = tell
        self._pace = Pace()
        self._pools: dict[str, Pool] = {}
        self._states: dict[str, control.ReplicaState] = {}
        self.suspicion = ""
        """Why no ready replica is trusted ("": one is); work is tried on the least bad one."""
        self._hint = ""
        self._ready_at: float | None = None
        self._arrived = 0
        self._wake: asyncio.TimerHandle | None = None
        self._demand_timer: asyncio.TimerHandle | None = None
        self._demand_sent = -DEMAND_EVERY

    # -- requests -----------------------------------------------------------------------------

    def submit(self, exchange: Exchange) -> Failure | None:
        """Queue a request and send it off if a replica has room; a Failure if the queue is full."""
        now = monotonic()
        self._arrived += 1
        ticket = self.queue.submit(exchange, now)
        if ticket is None:
            self._changed()
            limit = self.queue.limit
            return errors.queue_full(self.config.name, limit, self.retry_after(now))
        exchange.account.ticket = ticket
        self._pump(now)
        return None

    def withdraw(self, ticket: Ticket[Exchange]) -> None:
        """Take a waiting request out: its client is gone."""
        if self.queue.withdraw(ticket, monotonic()):
            self._changed()

    def release(self, place: Place) -> None:
        """Take note that a bound request has ended."""
        now = monotonic()
        self.queue.release(place)
        self._pace.finished(now)
        self._pump(now)

    def retry(
        self, ticket: Ticket[Exchange], place: Place, *, blame: bool, begun: bool = False
    ) -> None:
        """Queue a request again that a replica did not finish; with `blame`, for another replica.

        One whose stream has `begun` goes first, and its longest wait counts from now.
        """
        now = monotonic()
        self.queue.release(place)
        if blame:
            self.queue.skip(place, now + SKIP_FOR)
        self.queue.resubmit(ticket, now, deadline_from=now if begun else None)
        self._pump(now)

    def began(self, place: Place, ttft: float, gone_idle: bool = False) -> None:
        """Take note that an answer began `ttft` seconds after it was sent to the replica.

        With `gone_idle` that time says nothing about the replica and is not compared.
        """
        if self._is_current(place):
            now = monotonic()
            if not gone_idle:
                place.health.window.ttft.add(now, ttft)
            if place.health.began(ttft, now, running=place.running, room=place.room):
                self._look_at_all()
                self._pump(now)

    def ended(self, place: Place, *, ok: bool, what: str = "", tpot: float | None = None) -> None:
        """Take note of how an attempt ended on a replica, before its room is given back.

        A client error (4xx) is `ok`: the replica did its part.
        """
        if not self._is_current(place):
            return
        places, now = self.queue.places.values(), monotonic()
        if suspicion.ended(place, places, now, ok=ok, what=what, tpot=tpot):
            self._say_ejected(place)
        self._look_at_all()  # whoever gives the room back pumps

    def state(self, place: Place) -> control.ReplicaState | None:
        """Return what the runtime says of the replica; None when it is no longer listed."""
        return self._states.get(place.id) if self._is_current(place) else None

    def fault(self, place: Place, what: str) -> None:
        """Tell the runtime that a replica misbehaved."""
        self._tell(control.Fault(deployment=self.config.name, replica=place.id, what=what))

    def retry_after(self, now: float) -> int:
        """Return the seconds after which a refused client should come back."""
        expected = None
        if not self.queue.any_ready and self._ready_at is not None:
            expected = max(0.0, self._ready_at - now)
        return retry_after(self.queue.waiting, self._pace.rate(now), expected)

    # -- configuration ------------------------------------------------------------------------

    def reconfigure(self, config: control.Deployment) -> None:
        """Take new limits; they hold for what waits already."""
        self.config = config
        self.queue.limit, self.queue.max_wait = config.queue_limit, config.max_wait
        self._pump(monotonic())

    def set_replicas(self, message: control.Replicas) -> None:
        """Replace the replicas; waiting work goes to new ones at once."""
        now = monotonic()
        self._hint = message.hint
        wait = message.expected_ready
        self._ready_at = None if wait is None else now + wait
        addresses = {r.id: f"{r.host}:{r.port}".encode() for r in message.replicas}
        for name, pool in list(self._pools.items()):
            if addresses.get(name) != pool.address:
                self._pools.pop(name).close()
                if name in addresses:
                    self.queue.renew(name, now)
        for replica in message.replicas:
            if replica.id not in self._pools:
                self._pools[replica.id] = Pool(replica.host, replica.port)
        wanted = [(r.id, r.room, r.state == "ready") for r in message.replicas]
        self._states = {r.id: r.state for r in message.replicas}
        self.queue.set_places(wanted, now)
        self._look_at_all()
        self._pump(now)

    def close(self) -> None:
        """Fail what waits and let what runs end in peace: the deployment is gone."""
        for ticket in self.queue.abandon(monotonic()):
            ticket.item.fail(errors.removed(self.config.name))
        for timer in (self._wake, self._demand_timer):
            if timer is not None:
                timer.cancel()
        self.close_pools()

    def close_pools(self) -> None:
        """Close idle connections."""
        for pool in self._pools.values():
            pool.close()
        self._pools.clear()

    def tick(self, now: float) -> None:
        """Each second: close idle connections, compare replicas, repeat demand and statistics."""
        for pool in self._pools.values():
            pool.sweep(now)
        for place in suspicion.review(self.queue.places.values(), now):
            self._say_ejected(place)
        self._look_at_all()
        self._tell(self.stats(now))
        self._send_demand()

    # -- trust --------------------------------------------------------------------------------

    def _is_current(self, place: Place) -> bool:
        """Whether the replica is the one that now has this id, not an earlier process."""
        return self.queue.places.get(place.id) is place

    def _say_ejected(self, place: Place) -> None:
        self.fault(place, f"gets no work for now: {place.health.reason}")

    def _look_at_all(self) -> None:
        """Say once when no ready replica is trusted any more, and once when one is again."""
        was, self.suspicion = self.suspicion, suspicion.all_suspect(self.queue.places.values())
        if bool(was) == bool(self.suspicion):
            return
        name = self.config.name
        text = self._all_suspect() if self.suspicion else "a replica is trusted again"
        sys.stderr.write(f"gateway: {name}: {text}\n")
        if self.suspicion:
            self._tell(control.Fault(deployment=name, replica="", what=text))

    def _all_suspect(self) -> str:
        return f"all replicas are suspect ({self.suspicion})" if self.suspicion else ""

    # -- inside -------------------------------------------------------------------------------

    def _pump(self, now: float) -> None:
        for ticket, place in self.queue.assign(now):
            ticket.item.bind(place, self._pools[place.id])
        if self.queue.waiting:
            self._set_wake(now)
        self._changed()

    def _set_wake(self, now: float) -> None:
        at = self.queue.next_event(now)
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None
        if at is not None:
            delay = max(0.0, at - now)
            self._wake = asyncio.get_running_loop().call_later(delay, self._wake_up)

    def _wake_up(self) -> None:
        self._wake = None
        now = monotonic()
        for ticket in self.queue.expired(now):
            hint = self._all_suspect() if self.queue.any_ready else self._hint or "none is ready"
            waited = ticket.held + ticket.queued
            pause = self.retry_after(now)
            ticket.item.fail(errors.waited_too_long(self.config.name, waited, hint, pause))
        self._pump(now)

    def _changed(self) -> None:
        """Send the demand now, or soon if it was sent a moment ago."""
        if self._demand_timer is not None:
            return
        due = self._demand_sent + DEMAND_EVERY - monotonic()
        if due <= 0:
            self._send_demand()
        else:
            loop = asyncio.get_running_loop()
            self._demand_timer = loop.call_later(due, self._send_demand)

    def _send_demand(self) -> None:
        if self._demand_timer is not None:
            self._demand_timer.cancel()
            self._demand_timer = None
        self._demand_sent = monotonic()
        self._tell(self.demand())

    def demand(self) -> control.Demand:
        """Return this lane's work as it is now."""
        queue = self.queue
        return control.Demand(
            deployment=self.config.name,
            held=queue.held,
            queued=queue.queued,
            running=queue.running,
            arrived=self._arrived,
            replicas={name: place.running for name, place in queue.places.items()},
        )

    def stats(self, now: float) -> control.Stats:
        """Return how each replica did in the last minute."""
        places = self.queue.places.values()
        replicas = {place.id: _stats(place, now) for place in places}
        return control.Stats(deployment=self.config.name, window=SECONDS, replicas=replicas)


def _stats(place: Place, now: float) -> control.ReplicaStats:
    window = place.health.window
    ttft, tpot, counts = window.ttft.recent(now), window.tpot.recent(now), window.counts(now)
    return control.ReplicaStats(
        requests=counts.requests,
        failures=counts.failures,
        ttft_p50=quantile(ttft, 0.5),
        ttft_p95=quantile(ttft, 0.95),
        tpot_p50=quantile(tpot, 0.5),
        tpot_p95=quantile(tpot, 0.95),
        ejected=place.health.reason,
    )
