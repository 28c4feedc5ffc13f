"""Decides where a request goes: its route, its variant, what limits say, and when it overflows.

The policies are in `headrace.routing`; this feeds them with what the gateway knows at the moment.
The exchange asks once when a request comes, each second while it waits, and when a replica broke.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import xxhash

from headrace.gateway import errors
from headrace.gateway.direction import Direction
from headrace.gateway.limiting import refusal, subjects
from headrace.gateway.prompt import Prompt, TokenRatio, TypicalAnswer
from headrace.gateway.records import Touched
from headrace.ledger.ledger import Ledger
from headrace.routing.allowance import Excess
from headrace.routing.match import Asked, RouteTable, mismatches
from headrace.routing.overflow import Fit, Needs, fit, land
from headrace.routing.ticket import Want
from headrace.routing.variants import Variants, mirrored
from headrace.routing.work import Work

if TYPE_CHECKING:
    from headrace.gateway.account import Account
    from headrace.gateway.control import Configure, Key
    from headrace.gateway.dispatch import Lane
    from headrace.gateway.errors import Failure
    from headrace.gateway.exchange import Exchange
    from headrace.gateway.request import Peek, Request
    from headrace.routing.route import Route
    from headrace.routing.ticket import Ticket

MARGIN = 0.25
"""Share by which an estimate of a prompt's tokens may be wrong."""
_ROUTES_TOLD = 8
_PRIVATE = ("key ", "tenant ", "header ")


@dataclass(slots=True)
class Question:
    """A request whose way is to be found. `size` is its prompt in tokens, within `margin`."""

    request: Request
    peek: Peek
    prompt: Prompt
    key: Key | None
    size: int
    margin: float

    def told(self, count: int) -> None:
        """Take the count of an engine, which is exact."""
        self.size, self.margin = count, 0.0


class Director:
    """Finds the way of each request among the lanes, which the gateway changes under it."""

    def __init__(self, lanes: Mapping[str, Lane]) -> None:
        self.routes = RouteTable()
        self.aliases: list[str] = []
        """What `/v1/models` lists: the aliases of all routes, adapters among them."""
        self.ledger = Ledger()
        self._lanes = lanes
        self._secret = secrets.randbits(64)
        self._variants = Variants()
        self._answers: dict[str, TypicalAnswer] = {}
        self._adapters: frozenset[str] = frozenset()
        self._by_header = False
        self._edges: dict[str, Edges] = {}

    def configure(self, message: Configure) -> None:
        """Take new routes; what is known of conversations, answers and use stays."""
        self.routes = RouteTable(message.routes)
        self.aliases = self.routes.aliases
        self._by_header = any(route.rule.headers for route in message.routes)
        self._edges = {}
        self._adapters = frozenset(a for one in message.deployments for a in one.adapters)
        names = {route.name for route in message.routes}
        self._answers = {name: one for name, one in self._answers.items() if name in names}
        if message.usage != self.ledger.path:
            self.ledger.close()
            self.ledger = Ledger(message.usage, later=asyncio.get_running_loop().call_later)

    # -- when a request comes -----------------------------------------------------------------

    def question(self, request: Request, peek: Peek) -> Question:
        """Return what decides the request's way, as far as the gateway itself can tell."""
        adapter = peek.model if peek.model in self._adapters else None
        prompt = Prompt.of(peek, adapter)
        key = request.share.key if request.share is not None else None
        margin = MARGIN if prompt.exact is None else 0.0
        return Question(request, peek, prompt, key, prompt.tokens(self._ratio(peek)), margin)

    def counter(self, question: Question) -> Lane | None:
        """Return a lane to count the prompt's tokens, where an estimate could lead astray."""
        if not question.margin or not self._is_close(question):
            return None
        names = self._edges_of(question.peek.model).deployments
        return next((lane for _, lane in self._some(names) if lane.can_count), None)

    def direct(self, question: Question) -> Direction | Failure:
        """Return the request's way, or a 404."""
        asked = self._asked(question)
        route = self.routes.find(asked)
        if route is None:
            return self._no_route(asked)
        identity = self._identity(route, question)
        chance = random.random
        pick = self._variants.pick(route, identity, chance())
        if pick.deployment not in self._lanes:
            return errors.removed(pick.deployment)
        direction = Direction(
            route=route,
            rule=_rule(self.routes.asks[route.name], question.peek.model),
            variant=pick.deployment,
            why=pick.why,
            deployment=pick.deployment,
            want=self._want(route, question, pick.deployment),
            size=question.size,
            margin=question.margin,
            prompt_bytes=question.prompt.size if question.prompt.exact is None else 0,
            max_tokens=question.peek.max_tokens,
            key=question.key,
            adapter=question.prompt.adapter,
            conversation=self._told(identity) if route.sticky == "conversation" else None,
            shadow=mirrored(route, chance()) if route.shadow else None,
        )
        self.divert(direction)
        return direction

    def admit(self, direction: Direction) -> Failure | None:
        """Take the request into the books of its limits; a failure says which one is used up."""
        whose = subjects(direction.route, direction.key)
        found = self.ledger.admit(whose, direction.size, direction.max_tokens)
        if isinstance(found, Excess):
            words = f"{found.subject}: {found.limit} {found.what}"
            direction.limits = (Touched(words, enforced=True),)
            return refusal(found)
        direction.grant, direction.output_bound = found, found.output_bound
        direction.limits = tuple(Touched(one.note, enforced=False) for one in found.noted)
        return None

    def shadowed(self, direction: Direction, original: str) -> Direction:
        """Return the way of a copy for the request's shadow: last of all, and never elsewhere."""
        deployment = direction.shadow or direction.deployment
        return replace(
            direction,
            deployment=deployment,
            variant=deployment,
            why="a copy",
            want=direction.want._replace(priority="low", flow=f"shadow {deployment}"),
            route=msgspec.structs.replace(direction.route, overflow=()),
            grant=None,
            limits=(),
            fallbacks=[],
            shadow=None,
            shadow_of=original,
        )

    # -- later --------------------------------------------------------------------------------

    def divert(
        self, direction: Direction, ticket: Ticket[Exchange] | None = None, *,
        waited: float = 0.0, broke: bool = False,
    ) -> bool:  # fmt: skip
        """Send the request to another deployment if its route says so; whether it does.

        It has `waited` so many seconds, with this ticket; `broke`: the replica that it was sent to
        failed.
        """
        route = direction.route
        if not route.overflow:
            return False
        here, want = direction.deployment, direction.want
        own = self._lanes.get(here)
        if own is not None and not own.known:
            return False
        names = {*direction.left, *route.deployments} - {here}
        states = {n: one.standing(want) for n, one in self._some(names) if one.takes(want)}
        if own is not None:
            states[here] = own.standing(want, ticket)
        needs = Needs(
            direction.size, direction.max_tokens, direction.margin, waited=waited, broke=broke
        )
        landing = land(route, here, states, needs, direction.left)
        if landing.deployment == here:
            return False
        direction.divert(landing)
        return True

    def ended(self, account: Account) -> None:
        """Take what a request really used into the books, and learn from it."""
        direction, usage = account.direction, account.usage
        if direction is None:
            return
        answer, _ = account.tokens
        if direction.grant is not None:
            prompt = direction.size if account.attempts.made else 0
            direction.grant.settle(usage.prompt_tokens if usage else prompt, answer or 0)
        lane = self._lanes.get(direction.deployment)
        if lane is not None and usage is not None and direction.prompt_bytes:
            lane.ratio.learn(direction.prompt_bytes, usage.prompt_tokens)
        if answer and account.complete and direction.shadow_of is None:
            self._answer(direction.route.name).learn(answer)

    # -- inside -------------------------------------------------------------------------------

    def _asked(self, question: Question) -> Asked:
        request, peek, key = question.request, question.peek, question.key
        return Asked(
            peek.model,
            request.path,
            dict(request.headers) if self._by_header else {},
            key.name if key else None,
            key.tenant if key else None,
            question.size,
            peek.max_tokens,
            peek.stream,
        )

    def _no_route(self, asked: Asked) -> Failure:
        candidates = self.routes.candidates(asked.model)
        if not candidates:
            return errors.model_not_found(
                asked.model, self.aliases, self.routes.nearest(asked.model)
            )
        reasons = [f"{route.name}: {_reasons(route, asked)}" for route in candidates[:_ROUTES_TOLD]]
        return errors.no_route(asked.model, reasons, self.aliases)

    def _identity(self, route: Route, question: Question) -> str | None:
        key = question.key.name if question.key else None
        match route.sticky:
            case "conversation":
                return question.prompt.identity(key)
            case "key":
                return key
            case _:
                return None

    def _want(self, route: Route, question: Question, deployment: str) -> Want:
        lane = self._lanes[deployment]
        answer = self._answer(route.name).expected(question.peek.max_tokens)
        marks = question.prompt.prefix(lane.ratio) if lane.has_choice else ()
        return Want(
            route.name,
            question.key.name if question.key else f"route {route.name}",
            route.priority,
            Work(question.size, answer, marks),
            route.max_wait,
            route.queue_limit,
            route.slo.ttft,
            question.prompt.adapter,
        )

    def _told(self, identity: str | None) -> str | None:
        """Return a conversation's name for records: nobody can try whose words make it."""
        return identity and xxhash.xxh3_64_hexdigest(identity.encode(), self._secret)

    def _answer(self, route: str) -> TypicalAnswer:
        found = self._answers.get(route)
        if found is None:
            found = self._answers[route] = TypicalAnswer()
        return found

    def _ratio(self, peek: Peek) -> TokenRatio:
        names = self._edges_of(peek.model).deployments
        lane = self._lanes.get(names[0]) if names else None
        return TokenRatio() if lane is None else lane.ratio

    def _is_close(self, question: Question) -> bool:
        """Whether the prompt is near a bound that decides its route, or may not fit."""
        edges, key = self._edges_of(question.peek.model), question.key
        bounds, size, margin = edges.bounds, question.size, question.margin
        if key and key.limits and key.limits.max_prompt is not None:
            bounds = (*bounds, key.limits.max_prompt)
        least, most = size * (1 - margin), size * (1 + margin)
        if [bound for bound in bounds if least <= bound <= most]:
            return True
        if not edges.contexts:
            return False
        needs = Needs(size, question.peek.max_tokens, margin)
        return any(
            fit(needs, lane.config.resume.context) is Fit.PERHAPS
            for _, lane in self._some(edges.contexts)
        )

    def _edges_of(self, model: str) -> Edges:
        """Return what matters of the routes for an alias; what is no alias shares one entry."""
        name = model if model in self.routes.known else ""
        found = self._edges.get(name)
        if found is None:
            found = self._edges[name] = Edges.of(self.routes.candidates(name))
        return found

    def _some(self, names: Iterable[str]) -> Iterator[tuple[str, Lane]]:
        return ((name, self._lanes[name]) for name in names if name in self._lanes)


class Edges(NamedTuple):
    """What of the routes for one alias depends on the length of a prompt.

    `bounds` are tokens of a prompt at which the route, or what its limits say, changes; `contexts`
    are deployments whose context decides; `deployments` are all that can be reached.
    """

    bounds: tuple[int, ...]
    contexts: tuple[str, ...]
    deployments: tuple[str, ...]

    @classmethod
    def of(cls, routes: Iterable[Route]) -> Edges:
        """Return the edges of some routes."""
        bounds: list[int | None] = []
        contexts: list[str] = []
        names: list[str] = []
        for route in routes:
            asked = route.rule.prompt
            bounds += [asked.least, asked.most] if asked else []
            bounds += [limits.max_prompt for limits in route.limits]
            if any("context" in way.when for way in route.overflow):
                contexts += route.deployments
            names += route.deployments
        kept = tuple(bound for bound in bounds if bound is not None)
        return cls(kept, tuple(dict.fromkeys(contexts)), tuple(dict.fromkeys(names)))


def _rule(asks: Sequence[str], alias: str) -> str:
    """Return for a record what the route asked about."""
    named = [f"model {alias}" if one == "model" else one for one in asks]
    return ", ".join(named) or "everything"


def _reasons(route: Route, asked: Asked) -> str:
    """Return why a route does not take a request, without the names of other callers."""
    found = mismatches(route.rule, asked)
    return "; ".join(
        f"it is for another {words.split()[0]}" if words.startswith(_PRIVATE) else words
        for words in found
    )
