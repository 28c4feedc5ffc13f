"""What happened to one request, as sentences: the record of `headrace request`, told in order."""

from __future__ import annotations

from collections.abc import Iterator

from headrace.gateway.records import Attempt, Fallback, Record

_CAUSES = {
    "queue": "the wait there was too long",
    "cold": "no replica was ready there",
    "context": "it would not fit in the context there",
    "down": "it was down",
}
_KINDS = {
    "/v1/chat/completions": "chat completion",
    "/v1/completions": "completion",
    "/v1/embeddings": "embedding",
}
_WIDTH = 11


def tell(record: Record) -> Iterator[str]:
    """Yield the lines of the story."""
    yield _line("request", record.id)
    for name, sentence in _chapters(record):
        if sentence:
            yield _line(name, sentence)
    yield from _texts(record)


def seconds(value: float) -> str:
    """Write a time for a person: `12 ms`, `3.4 s`, `5 min 10 s`."""
    if round(value, 3) < 1:
        return f"{value * 1000:.0f} ms"
    if round(value, 1) < 60:  # noqa: PLR2004 - a minute
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest} s"


def _chapters(record: Record) -> Iterator[tuple[str, str]]:
    yield "arrived", _arrived(record)
    yield "caller", _caller(record)
    yield "route", _with(record.route or "none took it", record.rule)
    yield "variant", _with(record.variant or "", record.why)
    stations = [*(one.origin for one in record.fallbacks), record.deployment]
    for fallback, to in zip(record.fallbacks, stations[1:], strict=True):
        yield "fell back", _fallback(fallback, to)
    yield "served by", _served_by(record)
    for line in _scores(record):
        yield "", line
    yield "waited", _waits(record)
    for attempt in record.tried if len(record.tried) > 1 else ():
        yield "tried", _attempt(attempt)
    yield "attempts", _attempts(record)
    for touched in record.limits:
        done = "refused for that" if touched.enforced else "only counted"
        yield "limit", f"beyond {touched.limit}: {done}"
    yield "tokens", _tokens(record)
    yield "speed", _speed(record)
    yield "cost", "" if record.cost is None else f"{record.cost:.6g}"
    yield "shadow", _shadow(record)
    yield "trace", record.trace.trace_id if record.trace else ""
    yield "ended", _ended(record)


def _line(name: str, text: str) -> str:
    return f"{name:<{_WIDTH}}{text}"


def _with(what: str, why: str | None) -> str:
    return f"{what}: {why}" if what and why else what


def _arrived(record: Record) -> str:
    when = record.time.astimezone().strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    kind = _KINDS.get(record.path, record.path) + (", streamed," if record.stream else "")
    adapter = f" (adapter {record.adapter})" if record.adapter else ""
    article = "an" if kind[0] in "aeiou" else "a"
    return f"{when}, {article} {kind} for model {record.model or 'that it does not name'}{adapter}"


def _caller(record: Record) -> str:
    parts = [f"key {record.key}" if record.key else ""]
    parts += [f"tenant {record.tenant}" if record.tenant else ""]
    parts += [f"conversation {record.conversation}" if record.conversation else ""]
    parts += [f"priority {record.priority}" if record.priority else ""]
    return ", ".join(part for part in parts if part)


def _fallback(one: Fallback, to: str | None) -> str:
    where = f" to {to}" if to else ""
    return f"from {one.origin}{where}: {_CAUSES.get(one.cause, one.cause)} ({one.cause})"


def _served_by(record: Record) -> str:
    if record.replica is None:
        where = f", though {record.deployment} would have" if record.deployment else ""
        return f"no replica had it{where}"
    return _with(f"{record.deployment}, replica {record.replica}", record.choice)


def _scores(record: Record) -> Iterator[str]:
    width = max((len(one.replica) for one in record.scores), default=0)
    for one in record.scores:
        cached = f", {one.cached} tokens of the prompt cached" if one.cached else ""
        mine = "  (chosen)" if one.replica == record.replica else ""
        yield f"  {one.replica:<{width}}  score {one.score:,.0f}{cached}{mine}"


def _waits(record: Record) -> str:
    waits = [
        (record.held_s, "until a replica was ready"),
        (record.queued_s, "for room on a replica"),
        (record.retried_s, "of this after a replica had failed"),
        (record.engine_s or 0.0, "in the engine for the first token"),
        (record.engine_queue_s or 0.0, "of that in the engine's own queue"),
        (record.stalled_s, "in which the client did not take its answer"),
    ]
    shown = [f"{seconds(wait)} {why}" for wait, why in waits if wait >= 0.0005]  # noqa: PLR2004 - shown as 0 ms
    return ", ".join(shown) or "not at all"


def _attempt(attempt: Attempt) -> str:
    how = "answered" if attempt.outcome == "ok" else attempt.outcome
    return (
        f"{attempt.replica} from {seconds(attempt.start_s)} on, "
        f"for {seconds(attempt.duration_s)}: {how}"
    )


def _attempts(record: Record) -> str:
    if record.attempts <= 1 and not record.continuations:
        return ""
    went_on = f"; an answer that had begun was continued {_times(record.continuations)}"
    return f"{record.attempts} replicas" + (went_on if record.continuations else "")


def _tokens(record: Record) -> str:
    if record.prompt_tokens is None and record.completion_tokens is None:
        return ""
    cached = f" ({record.cached_tokens} of them cached)" if record.cached_tokens else ""
    parts = [] if record.prompt_tokens is None else [f"{record.prompt_tokens} in{cached}"]
    parts += [] if record.completion_tokens is None else [f"{record.completion_tokens} out"]
    source = {"usage": "the engine's count", "events": "counted by events"}
    return ", ".join([*parts, *filter(None, [source.get(record.tokens_from or "")])])


def _speed(record: Record) -> str:
    parts = [] if record.ttft_s is None else [f"first token after {seconds(record.ttft_s)}"]
    if record.tpot_s:
        rate = f"{1 / record.tpot_s:.0f} tokens/s"
        parts.append(f"then {record.tpot_s * 1000:.1f} ms for each ({rate})")
    return ", ".join([*parts, f"{seconds(record.duration_s)} in all"])


def _shadow(record: Record) -> str:
    if record.shadow_of is not None:
        return f"a copy of {record.shadow_of}; nobody got its answer"
    return f"a copy went to {record.shadow}" if record.shadow else ""


def _ended(record: Record) -> str:
    status = f", status {record.status}" if record.status else ""
    if record.outcome == "ok":
        return f"well{status}"
    if record.outcome == "client_gone":
        return f"the client hung up{status}"
    shed = ", shed for more important requests" if record.shed else ""
    if record.outcome == "refused":
        return f"refused: {record.error}{shed}{status}"
    return f"badly: {record.error or record.outcome}{shed}{status}"


def _texts(record: Record) -> Iterator[str]:
    for name, text in (("prompt", record.prompt), ("answer", record.answer)):
        if text is not None:
            yield f"\n{name}:\n{text}"


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")
