"""What `headrace route` says: the request as the gateway sees it, its route, and what counts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from headrace.fleet.load import FleetFile
from headrace.fleet.units import format_duration
from headrace.gateway.control import Key
from headrace.routing.explain import Explanation, Taken
from headrace.routing.match import Asked
from headrace.routing.overflow import Fit
from headrace.routing.route import Limits, Overflow, Route
from headrace.routing.variants import shares

_FITS = {
    Fit.NO: "does not fit",
    Fit.PERHAPS: "may not fit, as the count may be wrong,",
    Fit.YES: "fits",
}
_UNITS = {
    "requests_per_minute": "{} requests a minute",
    "tokens_per_minute": "{} tokens a minute",
    "concurrency": "{} at once",
    "max_prompt": "prompts of {} tokens",
    "max_output": "answers of {} tokens",
}


@dataclass(frozen=True)
class Question:
    """A request as the gateway would see it.

    `counted` says where the prompt's tokens come from, `margin` by which share they may be wrong,
    `identity` what the request can be sticky by, `open` that no caller needs a key.
    """

    asked: Asked
    key: Key | None
    counted: str
    margin: float
    identity: Mapping[str, str | None]
    open: bool


def lines(file: FleetFile, question: Question, found: Explanation) -> Iterator[str]:
    """Yield the answer for a person: a label, and what is so."""
    yield from _labelled("request", _request(question))
    for passed in found.passed:
        reasons = "; ".join(passed.because)
        yield from _labelled("not", [f"{passed.route}: {reasons}"])
    if found.taken is not None:
        yield from _taken(file, question, found.taken)
    for tokens, name in found.otherwise:
        where = f"route {name} would take it" if name else "no route would take it"
        yield from _labelled("but", [f"if the prompt has {tokens} tokens, {where}"])


def _labelled(label: str, texts: list[str]) -> Iterator[str]:
    for text in texts:
        yield f"{label:<10}{text}"
        label = ""


def _request(question: Question) -> list[str]:
    asked = question.asked
    bound = "no max_tokens" if asked.max_tokens is None else f"max_tokens {asked.max_tokens}"
    stream = "streamed" if asked.stream else "not streamed"
    texts = [f"model {asked.model}, {asked.path}, {stream}, {bound}"]
    texts.append(f"prompt: {_prompt(question)}")
    caller = [f"key {asked.key}"] if asked.key else []
    caller += [f"tenant {asked.tenant}"] if asked.tenant else []
    if not caller and not question.open:
        caller = ["nobody: the gateway asks for a key; say whose with --key NAME"]
    return texts + [f"from {', '.join(caller)}"] * bool(caller)


def _prompt(question: Question) -> str:
    tokens = question.asked.prompt_tokens
    if not question.margin:
        return f"{tokens} tokens ({question.counted})"
    error = int(tokens * question.margin)
    return f"about {tokens} tokens, {tokens - error} to {tokens + error} ({question.counted})"


def _taken(file: FleetFile, question: Question, taken: Taken) -> Iterator[str]:
    route = taken.route
    because = f"by its {', '.join(taken.rule)}" if taken.rule else "it takes everything"
    line = file.document.line(("routes", route.name))
    yield from _labelled("route", [f"{route.name} ({file.path.name}:{line}): {because}"])
    yield from _labelled("adapter", _adapter(file, question, taken))
    yield from _labelled("variant", _variants(taken))
    yield from _labelled("serves", _serves(taken))
    yield from _labelled("context", _contexts(file, taken))
    yield from _labelled("overflow", [_overflow(one) for one in route.overflow])
    if route.shadow is not None:
        copied = f"a copy of {route.shadow.share * 100:.4g} % of requests, its answers thrown away"
        yield from _labelled("shadow", [f"{route.shadow.deployment}: {copied}"])
    yield from _labelled("limits", _limits(question, route))
    yield from _labelled("waits", [_waits(file, taken)])


def _adapter(file: FleetFile, question: Question, taken: Taken) -> list[str]:
    names = _adapter_of(file, question.asked.model, taken)
    return [f"{question.asked.model}, a LoRA adapter of {', '.join(names)}"] if names else []


def _adapter_of(file: FleetFile, model: str, taken: Taken) -> list[str]:
    """Return the deployments on the request's way that have the model as an adapter."""
    deployments = file.fleet.deployments
    return [name for name in taken.route.deployments if model in deployments[name].adapters]


def _variants(taken: Taken) -> list[str]:
    route, pick = taken.route, taken.pick
    parts = shares(route)
    width = max(map(len, parts))
    texts = []
    for name, share in parts.items():
        mark = f"   <- {_mark(taken)}" if pick is not None and pick.deployment == name else ""
        texts.append(f"{name:<{width}} {share * 100:>6.4g} %{mark}")
    if pick is None:
        what = "" if route.sticky == "none" else f"; this request has no {route.sticky} to keep it"
        texts.append(f"drawn anew for each request{what}")
    return texts


def _mark(taken: Taken) -> str:
    if len(taken.route.variants) == 1:
        return "the only one"
    assert taken.pick is not None  # noqa: S101  told by the caller
    return f"this {taken.route.sticky}: {taken.pick.why}"


def _serves(taken: Taken) -> list[str]:
    landing = taken.landing
    if landing is None or not taken.route.overflow:
        return []
    if landing.cause is None:
        return [f"{landing.deployment}, unless overflow moves the request"]
    return [f"{landing.deployment}, by overflow ({landing.cause}): {landing.why}"]


def _contexts(file: FleetFile, taken: Taken) -> list[str]:
    texts = []
    for name, fits in taken.fits.items():
        context = file.fleet.deployments[name].max_model_len
        if context is None:
            texts.append(f"{name}: not in the file (max_model_len); the engine knows it")
        else:
            texts.append(f"{name}: {_FITS[fits]} in {context} tokens")
    return texts


def _overflow(overflow: Overflow) -> str:
    words = {
        "queue": f"queue (more than {format_duration(overflow.after)} to wait)",
        "cold": "cold (no replica is ready)",
        "context": "context (it does not fit)",
        "down": "down (no replica starts, or they broke)",
    }
    return f"to {overflow.deployment}: {', '.join(words[cause] for cause in overflow.when)}"


def _limits(question: Question, route: Route) -> list[str]:
    whose = {
        "route": f"route {route.name}, all together",
        "key": f"key {question.asked.key or '(each)'} on route {route.name}",
        "tenant": f"tenant {question.asked.tenant or '(each)'} on route {route.name}",
    }
    texts = [f"{whose[limits.per]}: {_limit(limits)}" for limits in route.limits]
    key = question.key
    if key is not None and key.limits is not None:
        texts.append(f"key {key.name} on all routes: {_limit(key.limits)}")
    if key is not None and key.streams is not None:
        texts.append(f"key {key.name} on all routes: {key.streams} at once")
    return texts


def _limit(limits: Limits) -> str:
    parts = [
        words.format(value)
        for field, words in _UNITS.items()
        if (value := getattr(limits, field)) is not None
    ]
    return ", ".join(parts) + ("" if limits.enforce else " (only counted)")


def _waits(file: FleetFile, taken: Taken) -> str:
    route = taken.route
    deployment = taken.pick.deployment if taken.pick else route.variants[0].deployment
    queue = file.fleet.deployments[deployment].queue
    longest = min(route.max_wait or queue.max_wait, queue.max_wait)
    most = min(queue.limit if route.queue_limit is None else route.queue_limit, queue.limit)
    whose = deployment if route.queue_limit is None else f"route {route.name}"
    return (
        f"{route.priority} priority, at most {format_duration(longest)}, with at most {most} "
        f"requests of {whose} that wait"
    )


def as_json(file: FleetFile, question: Question, found: Explanation) -> dict[str, Any]:
    """Return the same for a program."""
    asked = question.asked
    prompt = {
        "tokens": asked.prompt_tokens,
        "margin": question.margin,
        "counted": question.counted,
    }
    return {
        "request": {
            "model": asked.model,
            "path": asked.path,
            "stream": asked.stream,
            "max_tokens": asked.max_tokens,
            "prompt": prompt,
            "key": asked.key,
            "tenant": asked.tenant,
        },
        "passed": [{"route": one.route, "because": one.because} for one in found.passed],
        "taken": None if found.taken is None else _taken_json(file, question, found.taken),
        "otherwise": [{"prompt_tokens": at, "route": name} for at, name in found.otherwise],
    }


def _taken_json(file: FleetFile, question: Question, taken: Taken) -> dict[str, Any]:
    route, parts = taken.route, shares(taken.route)
    return {
        "route": route.name,
        "line": file.document.line(("routes", route.name)),
        "rule": taken.rule,
        "adapter_of": _adapter_of(file, question.asked.model, taken),
        "variants": [
            {"deployment": one.deployment, "weight": one.weight, "share": parts[one.deployment]}
            for one in route.variants
        ],
        "variant": taken.pick._asdict() if taken.pick else None,
        "serves": taken.landing._asdict() if taken.landing else None,
        "fits": {name: fits.name.lower() for name, fits in taken.fits.items()},
        "overflow": msgspec.to_builtins(route.overflow),
        "shadow": msgspec.to_builtins(route.shadow),
        "priority": route.priority,
        "limits": msgspec.to_builtins(route.limits),
        "key_limits": msgspec.to_builtins(question.key.limits if question.key else None),
    }
