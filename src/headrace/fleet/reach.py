"""Routes that no request can reach, because earlier ones take everything that they would.

The first match wins, so the order of the file is its meaning. A rule is compared with the earlier
ones for each alias, path and stream by itself: two narrow routes can shut out a third together.
Headers, keys and ranges are compared one rule with another; what is called unreachable is so.
`check_routes.py` looks at each route alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import product
from typing import TypeVar

from headrace.fleet.document import Path_
from headrace.fleet.routes import Match, Range
from headrace.fleet.types import Fleet

API_PATHS = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings")
"""What the gateway passes on to deployments, and so what a route can match."""

T = TypeVar("T")
_Atom = tuple[str | None, str, bool]
"""An alias (None: any), a path, and whether the answer is streamed."""


def unreachable(fleet: Fleet) -> Iterator[tuple[Path_, str]]:
    """Yield each route, or alias of a route, that gets no request."""
    before: dict[str, Match] = {}
    for name, route in fleet.routes.items():
        yield from _shut_out(name, route.match, before)
        before[name] = route.match


def _shut_out(name: str, match: Match, before: dict[str, Match]) -> Iterator[tuple[Path_, str]]:
    path: Path_ = ("routes", name, "match")
    taken = {alias: _takers(alias, match, before) for alias in match.model or (None,)}
    if all(taken.values()):
        takers = dict.fromkeys(taker for names in taken.values() for taker in names)
        takes = "takes" if len(takers) == 1 else "together take"
        message = f"no request comes here: {_routes(takers)} before {takes} all that match"
        yield path, f"{message}; put this route first, or remove it"
        return
    for index, (alias, takers_of_it) in enumerate(taken.items()):
        if takers_of_it:
            message = f"no request for '{alias}' comes here: {_routes(takers_of_it)} before has all"
            yield (*path, "model", index), f"{message}; remove it here, or put this route first"


def _routes(names: Iterable[str]) -> str:
    return " and ".join(f"'{name}'" for name in names)


def _takers(alias: str | None, match: Match, before: dict[str, Match]) -> tuple[str, ...]:
    """Return the earlier routes that together take all of the alias; none if something is left."""
    wider = {name: other for name, other in before.items() if _outside_wider(other, match)}
    takers: dict[str, None] = {}
    for atom in _atoms(alias, match):
        taker = next((name for name, other in wider.items() if _takes(other, atom)), None)
        if taker is None:
            return ()
        takers[taker] = None
    return tuple(takers)


def _atoms(alias: str | None, match: Match) -> Iterator[_Atom]:
    streams = (True, False) if match.stream is None else (match.stream,)
    return product((alias,), match.path or API_PATHS, streams)


def _takes(match: Match, atom: _Atom) -> bool:
    alias, path, stream = atom
    return (
        (not match.model or alias in match.model)
        and (not match.path or path in match.path)
        and match.stream in (None, stream)
    )


def _outside_wider(wide: Match, narrow: Match) -> bool:
    """Whether `wide` asks for no more than `narrow` of headers, callers and token counts."""
    return (
        _includes(wide.key, narrow.key)
        and _includes(wide.tenant, narrow.tenant)
        and _headers_wider(wide, narrow)
        and _range_wider(wide.prompt_tokens, narrow.prompt_tokens)
        and _range_wider(wide.max_tokens, narrow.max_tokens)
    )


def _includes(wide: tuple[T, ...], narrow: tuple[T, ...]) -> bool:
    return not wide or (bool(narrow) and set(narrow) <= set(wide))


def _headers_wider(wide: Match, narrow: Match) -> bool:
    given = {name.lower(): values for name, values in narrow.headers.items()}
    return all(
        name.lower() in given and _includes(values, given[name.lower()])
        for name, values in wide.headers.items()
    )


def _range_wider(wide: Range | None, narrow: Range | None) -> bool:
    if wide is None:
        return True
    narrow = narrow or Range()
    starts = (wide.min or 0) <= (narrow.min or 0)
    return starts and (wide.max is None or (narrow.max is not None and narrow.max <= wide.max))
