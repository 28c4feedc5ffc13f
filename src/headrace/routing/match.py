"""Which route a request belongs to: the first whose rule describes it.

The gateway builds one `RouteTable` for each configuration, `headrace route` another from the same
file. `variants.py` says which deployment of the route serves; `queue.py` is where it waits.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from headrace.routing.route import Range, Route, Rule


class Asked(NamedTuple):
    """What of a request decides its route.

    `headers` has lower-case names. `prompt_tokens` may be an estimate; `max_tokens` is None where
    the request sets no bound, which counts as infinite. `key` and `tenant` name the caller.
    """

    model: str
    path: str = "/v1/chat/completions"
    headers: Mapping[bytes, bytes] = {}
    key: str | None = None
    tenant: str | None = None
    prompt_tokens: int = 0
    max_tokens: int | None = None
    stream: bool = False


class RouteTable:
    """Routes in their order; aliases only speed the search up."""

    def __init__(self, routes: Iterable[Route] = ()) -> None:
        self.routes = tuple(routes)
        self.aliases = list(dict.fromkeys(a for route in self.routes for a in route.rule.models))
        """Every alias, in the order of the configuration."""
        self.asks = {route.name: conditions(route.rule) for route in self.routes}
        """What each route asks about, by its name; see `conditions`."""
        tests = [(route, tuple(_tests(route.rule))) for route in self.routes]
        self._any = [entry for entry in tests if not entry[0].rule.models]
        self._by_alias = {
            alias: [entry for entry in tests if _takes(entry[0], alias)] for alias in self.aliases
        }

    def find(self, asked: Asked) -> Route | None:
        """Return the request's route, or None."""
        for route, tests in self._by_alias.get(asked.model, self._any):
            for test in tests:
                if not test(asked):
                    break
            else:
                return route
        return None

    @property
    def known(self) -> Collection[str]:
        """The aliases, for asking whether a name is one."""
        return self._by_alias.keys()

    def candidates(self, model: str) -> list[Route]:
        """Return the routes that could take a request for `model`, in their order."""
        return [route for route, _ in self._by_alias.get(model, self._any)]

    def nearest(self, model: str) -> str | None:
        """Return the alias most like `model` (case ignored), or None when none is alike."""
        folded = {alias.casefold(): alias for alias in reversed(self.aliases)}
        close = difflib.get_close_matches(model[:256].casefold(), folded, n=1, cutoff=0.5)
        return folded[close[0]] if close else None


def mismatches(rule: Rule, asked: Asked) -> list[str]:
    """Return, for each condition that the request does not meet, what it is instead."""
    found = []
    if rule.models and asked.model not in rule.models:
        found.append(f"model is {asked.model}, not {_either(rule.models)}")
    found += [words(rule, asked) for _, holds, words in _conditions(rule) if not holds(asked)]
    return found


def conditions(rule: Rule) -> list[str]:
    """Return the fields of `match` that a rule asks about, such as `model` or `headers.x-team`."""
    return (["model"] if rule.models else []) + [name for name, _, _ in _conditions(rule)]


_Test = Callable[[Asked], bool]
_Words = Callable[[Rule, Asked], str]


def _takes(route: Route, alias: str) -> bool:
    return not route.rule.models or alias in route.rule.models


def _tests(rule: Rule) -> Iterator[_Test]:
    return (holds for _, holds, _ in _conditions(rule))


def _conditions(rule: Rule) -> Iterator[tuple[str, _Test, _Words]]:
    """Yield the conditions but the model: name, test, and words for those that it fails."""
    if rule.paths:
        yield "path", lambda a: a.path in rule.paths, lambda r, a: _other("path", a.path, r.paths)
    for name, values in rule.headers:
        yield f"headers.{name}", _header_test(name, values), _header_words(name, values)
    if rule.keys:
        yield "key", lambda a: a.key in rule.keys, lambda r, a: _other("key", a.key, r.keys)
    if rule.tenants:
        test = lambda a: a.tenant in rule.tenants  # noqa: E731  as short as its neighbours
        yield "tenant", test, lambda r, a: _other("tenant", a.tenant, r.tenants)
    if rule.prompt is not None:
        least, most = _ends(rule.prompt)
        yield "prompt_tokens", lambda a: least <= a.prompt_tokens <= most, _prompt_words
    if rule.output is not None:
        low, high = _ends(rule.output)
        yield "max_tokens", lambda a: low <= _bound(a) <= high, _output_words
    if rule.stream is not None:
        yield "stream", lambda a: a.stream is rule.stream, _stream_words


def _ends(bounds: Range) -> tuple[float, float]:
    """Return the least and the most, infinite where there is no bound."""
    least, most = bounds.least, bounds.most
    return -math.inf if least is None else least, math.inf if most is None else most


def _bound(asked: Asked) -> float:
    return math.inf if asked.max_tokens is None else asked.max_tokens


def _header_test(name: str, values: tuple[str, ...]) -> _Test:
    raw, allowed = name.encode(), frozenset(value.encode() for value in values)
    if not allowed:
        return lambda asked: raw in asked.headers
    return lambda asked: asked.headers.get(raw) in allowed


def _header_words(name: str, values: tuple[str, ...]) -> _Words:
    def words(_: Rule, asked: Asked) -> str:
        given = asked.headers.get(name.encode())
        if given is None:
            return f"there is no header {name}"
        return _other(f"header {name}", given.decode("latin-1"), values)

    return words


def _prompt_words(rule: Rule, asked: Asked) -> str:
    return f"the prompt has about {asked.prompt_tokens} tokens, not {_within(rule.prompt)}"


def _output_words(rule: Rule, asked: Asked) -> str:
    given = "not set" if asked.max_tokens is None else asked.max_tokens
    return f"max_tokens is {given}, not {_within(rule.output)}"


def _stream_words(rule: Rule, asked: Asked) -> str:
    return f"stream is {str(asked.stream).lower()}, not {str(rule.stream).lower()}"


def _other(what: str, given: str | None, allowed: tuple[str, ...]) -> str:
    return f"{what} is {given or 'not given'}, not {_either(allowed)}"


def _either(values: tuple[str, ...]) -> str:
    return " or ".join(values)


def _within(bounds: object) -> str:
    least, most = getattr(bounds, "least", None), getattr(bounds, "most", None)
    if least is None:
        return f"at most {most}"
    return f"at least {least}" if most is None else f"{least} to {most}"
