"""Which route of a fleet a run's requests take: its promises are what they are held against.

Routes that share an alias tell requests apart by what they are like, so the gateway's own rules
are asked about the requests that will be sent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from headrace.bench.asks import Ask
from headrace.fleet.routes import Route
from headrace.fleet.types import Fleet
from headrace.routing.from_fleet import routes_of
from headrace.routing.match import Asked, RouteTable

_PATHS = {True: "/v1/chat/completions", False: "/v1/completions"}


def route_of(fleet: Fleet, model: str, asks: Sequence[Ask] = (), *, chat: bool) -> Route | None:
    """Return the route that most requests take; without any, that of a short one without more.

    Where that is none (a route may want a header, or a key), the first with the model's name.
    """
    table = RouteTable(routes_of(fleet))
    taken = [table.find(one) for one in _asked(model, asks, _PATHS[chat])]
    names = Counter(route.name for route in taken if route is not None)
    if names:
        return fleet.routes[names.most_common(1)[0][0]]
    return next((one for one in fleet.routes.values() if model in one.match.model), None)


def _asked(model: str, asks: Sequence[Ask], path: str) -> list[Asked]:
    plain = Asked(model, path, stream=True)
    return [
        plain._replace(prompt_tokens=ask.prompt_tokens or 0, max_tokens=ask.max_tokens)
        for ask in asks
    ] or [plain]
