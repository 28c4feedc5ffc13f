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
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING

from headrace.gateway import control, errors
from headrace.gateway.outgoing import name_for
from headrace.gateway.prompt import TokenRatio
from headrace.gateway.upstream import Pool
from headrace.routing import suspicion
from headrace.routing.choose import Place
from headrace.routing.overflow import State
from headrace.routing.pace import hopeless, retry_after
from headrace.routing.prefix import PrefixIndex
from headrace.routing.queue import WorkQueue
from headrace.routing.ticket import Ticket, Want
from headrace.routing.window import SECONDS
from headrace.routing.work import Work
from headrace.starts.figures import StartFigures
from headrace.traffic.quantile import quantile

if TYPE_CHECKING:
    from headrace.gateway.counting import Count
    from headrace.gateway.director import Question
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
        self.ratio = TokenRatio()
        self._closed = False
        self.known = False
        """Whether the runtime has said which replicas there are."""
        self._tell = tell
        self._names: dict[str, tuple[str, ...]] = {}
        self._adapter_room: dict[str, int | None] = {}
        self._caches: dict[str, int | None] = {}
        self._coming = self._down = False
        self.starts: StartFigures | None = None
        """What starts of its replicas took, where the runtime has said."""
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
        self._balance()

    # -- requests -----------------------------------------------------------------------------

    def submit(self, exchange: Exchange, want: Want) -> Failure | None:
        """Queue a request and send it off if a replica has room; a Failure if it cannot wait."""
        now = monotonic()
        self._arrived += 1
        wait = self._wait(want, now)
        longest = min(self.config.max_wait, want.max_wait or self.config.max_wait)
        if hopeless(wait, longest):
            self._changed()
            return errors.hopeless(self.config.name, wait or longest, retry_after(wait))
        found = self.queue.submit(exchange, now, want)
        if found.ticket is None:
            self._changed()
            limit = self.config.queue_limit if found.refused == "queue" else want.limit or 0
            whose = self.config.name if found.refused == "queue" else f"route {want.route}"
            return errors.queue_full(whose, limit, retry_after(wait))
        exchange.account.ticket = found.ticket
        self._pump(now)
        if found.displaced is not None:  # last, as its client's next request may come in here
            found.displaced.item.displaced(errors.shed(self.config.name, retry_after(wait)))
        return None

    def withdraw(self, ticket: Ticket[Exchange]) -> None:
        """Take a waiting request out: its client is gone."""
        if self.queue.withdraw(ticket, monotonic()):
            self._changed()

    def settle(self, ticket: Ticket[Exchange], done: Work, cached: int | None) -> None:
        """Take note of what a request was, `cached` tokens of its prompt (None: nobody knows)."""
        self.queue.settle(ticket, done, monotonic(), cached=cached or 0)
        index = self.queue.index
        if index is not None and cached is not None and ticket.choice is not None:
            index.learn(ticket.choice.cached, cached)

    def release(self, ticket: Ticket[Exchange]) -> None:
        """Take note that a bound request has ended, or goes elsewhere."""
        self.queue.release(ticket)
        self._pump(monotonic())

    def retry(self, ticket: Ticket[Exchange], *, blame: bool, begun: bool = False) -> None:
        """Queue a request again that a replica did not finish; with `blame`, for another replica.

        One whose stream has `begun` goes first, and its longest wait counts from now.
        """
        now = monotonic()
        place = ticket.bound.place if ticket.bound else None
        self.queue.release(ticket)
        if self._closed:
            ticket.item.removed()
            return
        if blame and place is not None:
            self.queue.skip(place, now + SKIP_FOR)
        self.queue.resubmit(ticket, now, deadline_from=now if begun else None)
        self._pump(now)

    def prefilled(self, ticket: Ticket[Exchange]) -> None:
        """Take note that a replica has read a request's prompt: that work is done."""
        self.queue.prefilled(ticket)

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

    # -- how it stands ------------------------------------------------------------------------

    @property
    def idle(self) -> bool:
        """Whether nothing waits and a replica has room."""
        queue = self.queue
        return not queue.waiting and any(place.wants_work for place in queue.places.values())

    def takes(self, want: Want) -> bool:
        """Whether it would take a newcomer that overflows: now, or into its queue."""
        queued = self.idle or self.queue.waiting < self.config.queue_limit
        longest = min(self.config.max_wait, want.max_wait or self.config.max_wait)
        return self.known and queued and not hopeless(self._wait(want, monotonic()), longest)

    @property
    def has_choice(self) -> bool:
        """Whether it matters what each replica has cached."""
        return self.queue.index is not None and len(self.queue.places) > 1

    @property
    def can_count(self) -> bool:
        """Whether a replica could count the tokens of a prompt now."""
        return self.config.counts and self.queue.any_ready

    def ask(self, count: Count, question: Question) -> None:
        """Have the replica with the least work count a prompt's tokens."""
        ready = [place for place in self.queue.places.values() if place.ready]
        place = min(ready, key=lambda place: place.running)
        alias = question.peek.model
        name = name_for(alias, self.names(place), self.config.adapters) or alias
        count.ask(self._pools[place.id], question.peek, name, question.request.id)

    def names(self, place: Place) -> tuple[str, ...]:
        """Return what the replica's engine calls the model; empty: any name will do."""
        return self._names.get(place.id, ())

    def standing(self, want: Want, ticket: Ticket[Exchange] | None = None) -> State:
        """Return how the deployment stands for a newcomer, or for one that waits here."""
        wait = self._wait(want, monotonic(), ticket)
        ready = self.queue.any_ready
        return State(ready, self._coming, wait, self.config.resume.context, self._down)

    def _wait(self, want: Want, now: float, ticket: Ticket[Exchange] | None = None) -> float | None:
        until = None
        if not self.queue.any_ready and self._ready_at is not None:
            until = max(0.0, self._ready_at - now)
        return self.queue.expected_wait(want, now, until_ready=until, ticket=ticket)

    # -- configuration ------------------------------------------------------------------------

    def reconfigure(self, config: control.Deployment) -> None:
        """Take new limits; they hold for what waits already."""
        self.config = config
        self.queue.set_bounds(config.queue_limit, config.max_wait)
        self._look_at_adapters()
        self._balance()
        self._pump(monotonic())

    def _balance(self) -> None:
        """Choose replicas as the configuration says."""
        wanted = self.config.balancing
        self.queue.slow_start = wanted.slow_start
        if wanted.prefix_affinity and self.queue.index is None:
            self.queue.index = PrefixIndex()
            for name, tokens in self._caches.items():
                self.queue.index.resize(name, tokens)
        elif not wanted.prefix_affinity:
            self.queue.index = None

    def set_replicas(self, message: control.Replicas) -> None:
        """Replace the replicas; waiting work goes to new ones at once."""
        now = monotonic()
        self._hint, self.known = message.hint, True
        self._coming, self._down, self.starts = message.coming, message.down, message.starts
        wait = message.expected_ready
        self._ready_at = None if wait is None else now + wait
        addresses = {r.id: f"{r.host}:{r.port}".encode() for r in message.replicas}
        for name, pool in list(self._pools.items()):
            if addresses.get(name) != pool.address:
                self._pools.pop(name).close()
                self._caches.pop(name, None)
                if name in addresses:
                    self.queue.renew(name, now)
        for replica in message.replicas:
            if replica.id not in self._pools:
                self._pools[replica.id] = Pool(replica.host, replica.port)
        wanted = [(r.id, r.room, r.state == "ready") for r in message.replicas]
        self._states = {r.id: r.state for r in message.replicas}
        self._names = {r.id: r.names for r in message.replicas}
        self._adapter_room = {r.id: r.adapter_room for r in message.replicas}
        self._learn_caches({r.id: r.cache for r in message.replicas})
        self.queue.set_places(wanted, now)
        self._look_at_adapters()
        self._look_at_all()
        self._pump(now)

    def _look_at_adapters(self) -> None:
        """Take note of their room, and of what they lack while a rollout takes an adapter away."""
        wanted = frozenset(self.config.adapters)
        for place in self.queue.places.values():
            known = self.names(place)
            place.lacks = wanted.difference(known) if known else frozenset()
            place.slots.room = self._adapter_room.get(place.id)

    def _learn_caches(self, caches: dict[str, int | None]) -> None:
        """Take note of the replicas' KV caches, in tokens."""
        if self.queue.index is not None:
            for name, tokens in caches.items():
                if name not in self._caches or tokens != self._caches[name]:
                    self.queue.index.resize(name, tokens)
        self._caches = caches

    def close(self) -> None:
        """Send away what waits and let what runs end in peace: the deployment is gone."""
        self._closed = True
        for ticket in self.queue.abandon(monotonic()):
            ticket.item.removed()
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
            ticket.item.guard(partial(ticket.item.bind, place, self._pools[place.id]))
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
            pause = retry_after(self._wait(ticket.want, now))
            ticket.item.fail(errors.waited_too_long(self.config.name, waited, hint, pause))
        self._pump(now)

    def _changed(self) -> None:
        """Send the demand now, or soon if it was sent a moment ago."""
        if self._demand_timer is not None or self._closed:
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
        waiting, running = queue.waiting_by_route(), queue.running_by_route()
        return control.Demand(
            deployment=self.config.name,
            held=queue.held,
            queued=queue.queued,
            running=queue.running,
            arrived=self._arrived,
            replicas={name: place.running for name, place in queue.places.items()},
            routes={
                route: (waiting.get(route, 0), running.get(route, 0))
                for route in {**waiting, **running}
            },
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
