"""What one waiting request wants, and what has become of it: `queue.py` keeps a ticket for each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from headrace.routing.choose import Bound, Choice
from headrace.routing.route import Priority
from headrace.routing.work import Work

T = TypeVar("T")


class Want(NamedTuple):
    """What decides a request's turn.

    Requests of one `flow` (a key, a tenant, else a route) share its turns. `limit` bounds how many
    of the route wait, `max_wait` (seconds) how long, both within the deployment's; `ttft` is the
    route's promise in seconds, `adapter` what its replica has to have. None: there is none.
    """

    route: str
    flow: str
    priority: Priority
    work: Work
    max_wait: float | None = None
    limit: int | None = None
    ttft: float | None = None
    adapter: str | None = None


@dataclass(slots=True, eq=False)
class Ticket(Generic[T]):
    """One request's place in the queue, and how long it has waited so far (seconds).

    `held` is waiting while no replica was ready, `queued` while all ready ones were full.
    `patient_from` is when its `max_wait` began: its arrival, or its last return. `choice` and
    `bound` are of its latest replica.
    """

    item: T
    want: Want
    number: int
    """Requests are numbered as they arrive."""
    cost: int
    """Its work as estimated at arrival, in tokens of prefill."""
    arrived: float
    patient_from: float
    returned: bool = False
    """Whether its stream had begun before it came back."""
    waiting: bool = False
    charged: float = 0.0
    """Work that its flow has paid for it so far."""
    before: float = 0.0
    """What its flow had ever brought when it came: `fair.py` tells by it what is still ahead."""
    choice: Choice | None = None
    bound: Bound | None = None
    held: float = 0.0
    queued: float = 0.0
    entered: float = 0.0
    held_mark: float = 0.0
