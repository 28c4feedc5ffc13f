"""OpenTelemetry spans of requests, by the semantic conventions for generative AI.

Made from records in the thread of `log.py`; the SDK's batch processor sends them in another. Only a
gateway that has a collector imports this module. The span ids are those that `traces.py` gave the
engine, so an engine that traces too hangs its spans below ours.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from time import monotonic

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.util.types import AttributeValue

from headrace.gateway.records import Attempt, Record, Trace
from headrace.gateway.traces import new_traceparent

QUEUE = 4096
"""Spans that wait for the collector; when it is slower or dead the oldest are lost."""
LAST_TRY = 2.0
"""Seconds in which a gateway that ends tells the collector what is left."""
_TIMEOUT = 5.0
_SCHEMA = "https://opentelemetry.io/schemas/1.37.0"
_PATH = "/v1/traces"
_OPERATIONS = {
    "/v1/chat/completions": "chat",
    "/v1/completions": "text_completion",
    "/v1/embeddings": "embeddings",
}
_Attributes = dict[str, AttributeValue]


class Spans:
    """Sends the spans of records to the collector at `endpoint`, as `http://localhost:4318`.

    `say` hears once that the collector does not take them, and once that it does again. Headers,
    such as a collector's key, come from `OTEL_EXPORTER_OTLP_HEADERS` as everywhere.
    """

    def __init__(self, endpoint: str, say: Callable[[str], None]) -> None:
        logging.getLogger("opentelemetry").addHandler(logging.NullHandler())  # `say` is enough
        base = endpoint.rstrip("/")
        url = base if base.endswith(_PATH) else base + _PATH
        self._processor = BatchSpanProcessor(
            _Reporting(url, say), max_queue_size=QUEUE, schedule_delay_millis=1000,
            max_export_batch_size=QUEUE // 8,
        )  # fmt: skip
        self._resource = Resource.create({"service.name": "headrace-gateway"})
        self._scope = InstrumentationScope("headrace.gateway", None, _SCHEMA)

    def export(self, records: Sequence[Record]) -> None:
        """Queue the spans of records that are sampled."""
        for record in records:
            if record.trace is not None and record.trace.sampled:
                for span in self._spans(record, record.trace):
                    self._processor.on_end(span)

    def close(self) -> None:
        """Send what is left, for a short while; the processor's own wait cannot be bounded."""
        ending = threading.Thread(target=self._processor.shutdown, daemon=True)
        ending.start()
        ending.join(LAST_TRY)

    def _spans(self, record: Record, trace: Trace) -> Iterator[ReadableSpan]:
        """Yield the request's span and its children."""
        begin = int(record.time.timestamp() * 1e9)
        whole = _context(trace.trace_id, trace.span_id)
        above = None
        if trace.parent_id is not None:
            above = _context(trace.trace_id, trace.parent_id, remote=True)
        events = []
        if record.ttft_s is not None:
            events = [Event("headrace.first_token", timestamp=_after(begin, record.ttft_s))]
        yield self._span(
            name=f"{_operation(record)} {record.model or ''}".rstrip(),
            context=whole,
            parent=above,
            kind=SpanKind.CLIENT,
            attributes=_request_attributes(record),
            status=_status(record.error),
            events=events,
            start_time=begin,
            end_time=_after(begin, record.duration_s),
        )
        waited = record.held_s + record.queued_s - record.retried_s  # the first time
        if waited > 0:
            yield self._child(
                whole, name="wait", kind=SpanKind.INTERNAL, attributes=_waits(record),
                start_time=begin, end_time=_after(begin, waited),
            )  # fmt: skip
        for attempt in record.tried:
            yield self._attempt(whole, begin, record, attempt)

    def _attempt(
        self, whole: SpanContext, begin: int, record: Record, attempt: Attempt
    ) -> ReadableSpan:
        attributes: _Attributes = {
            "http.request.method": "POST",
            "url.path": record.path,
            "headrace.replica": attempt.replica,
            **_address(attempt),
        }
        error = None if attempt.outcome == "ok" else attempt.outcome
        if error is not None:
            attributes["error.type"] = error
        return self._child(
            whole, name=f"POST {record.path}", kind=SpanKind.CLIENT, attributes=attributes,
            status=_status(error), start_time=_after(begin, attempt.start_s),
            end_time=_after(begin, attempt.start_s + attempt.duration_s),
        )  # fmt: skip

    def _child(
        self, whole: SpanContext, *, name: str, kind: SpanKind, attributes: _Attributes,
        start_time: int, end_time: int, status: Status | None = None,
    ) -> ReadableSpan:  # fmt: skip
        ident = new_traceparent(None)[1].span_id
        return self._span(
            name=name, context=_context(f"{whole.trace_id:032x}", ident), parent=whole, kind=kind,
            attributes=attributes, status=status or Status(), start_time=start_time,
            end_time=end_time,
        )  # fmt: skip

    def _span(
        self, *, name: str, context: SpanContext, parent: SpanContext | None, kind: SpanKind,
        attributes: _Attributes, status: Status, start_time: int, end_time: int,
        events: Sequence[Event] = (),
    ) -> ReadableSpan:  # fmt: skip
        return ReadableSpan(
            name, context, parent, self._resource, attributes, events, (), kind, status=status,
            start_time=start_time, end_time=end_time, instrumentation_scope=self._scope,
        )  # fmt: skip


class _Reporting(SpanExporter):
    """The OTLP exporter, which says once when the collector falls silent or comes back."""

    def __init__(self, url: str, say: Callable[[str], None]) -> None:
        self._url, self._say = url, say
        self._inner = OTLPSpanExporter(url, timeout=_TIMEOUT)
        self._failing_since: float | None = None

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans; see the class."""
        result = self._inner.export(spans)
        if result is SpanExportResult.FAILURE and self._failing_since is None:
            self._failing_since = monotonic()
            self._say(f"spans are lost: the collector at {self._url} does not take them")
        if result is SpanExportResult.SUCCESS and self._failing_since is not None:
            silent = monotonic() - self._failing_since
            self._failing_since = None
            self._say(f"the collector at {self._url} takes spans again, after {silent:.0f} s")
        return result

    def shutdown(self) -> None:
        """Give up what is being sent."""
        self._inner.shutdown()  # type: ignore[no-untyped-call]  # as the SDK declares it


def _request_attributes(record: Record) -> _Attributes:
    served = record.tried[-1] if record.tried else None
    known: dict[str, AttributeValue | None] = {
        "gen_ai.operation.name": _operation(record),
        "gen_ai.provider.name": "headrace",
        "gen_ai.request.model": record.model,
        "gen_ai.request.stream": record.stream or None,
        "gen_ai.conversation.id": record.conversation,
        "gen_ai.response.time_to_first_chunk": record.ttft_s,
        "gen_ai.usage.input_tokens": record.prompt_tokens,
        "gen_ai.usage.output_tokens": record.completion_tokens,
        "gen_ai.usage.cache_read.input_tokens": record.cached_tokens,
        "error.type": record.error,
        "http.response.status_code": record.status or None,
        **(_address(served) if served else {}),
        **_headrace_attributes(record),
        **_waits(record),
    }
    return {name: value for name, value in known.items() if value is not None}


def _headrace_attributes(record: Record) -> dict[str, AttributeValue | None]:
    return {
        "headrace.request.id": record.id,
        "headrace.outcome": record.outcome,
        "headrace.route": record.route,
        "headrace.route.rule": record.rule,
        "headrace.variant": record.variant,
        "headrace.variant.why": record.why,
        "headrace.deployment": record.deployment,
        "headrace.replica": record.replica,
        "headrace.replica.why": record.choice,
        "headrace.adapter": record.adapter,
        "headrace.key": record.key,
        "headrace.tenant": record.tenant,
        "headrace.attempts": record.attempts,
        "headrace.continuations": record.continuations,
        "headrace.fallback.causes": [one.cause for one in record.fallbacks] or None,
        "headrace.fallback.from": [one.origin for one in record.fallbacks] or None,
        "headrace.limits": [one.limit for one in record.limits] or None,
        "headrace.cost": record.cost,
        "headrace.shadow_of": record.shadow_of,
    }


def _waits(record: Record) -> _Attributes:
    return {
        "headrace.wait.held_s": record.held_s,
        "headrace.wait.queued_s": record.queued_s,
        "headrace.wait.retried_s": record.retried_s,
    }


def _address(attempt: Attempt) -> _Attributes:
    if not attempt.host:
        return {}
    return {"server.address": attempt.host, "server.port": attempt.port}


def _operation(record: Record) -> str:
    return _OPERATIONS.get(record.path, record.path)


def _status(error: str | None) -> Status:
    return Status() if error is None else Status(StatusCode.ERROR, error)


def _context(trace_id: str, span_id: str, *, remote: bool = False) -> SpanContext:
    flags = TraceFlags(TraceFlags.SAMPLED)
    return SpanContext(int(trace_id, 16), int(span_id, 16), remote, flags)


def _after(begin: int, seconds: float) -> int:
    """Return nanoseconds since the epoch."""
    return begin + int(seconds * 1e9)
