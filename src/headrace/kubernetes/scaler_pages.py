"""The scaler's own health and metrics, over plain HTTP beside gRPC.

`/healthz`: the process runs. `/readyz`: it knows the gateways. `/metrics`: how well it knows them.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http import HTTPStatus

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from headrace.gateway.metrics import start_metrics
from headrace.kubernetes.demand import Total
from headrace.starts.figures import StartFigures

_PATIENCE = 5.0
_LONGEST_HEAD = 8192


@dataclass(frozen=True)
class Standing:
    """How the scaler stands; `totals` are by deployment, the counters since it began."""

    synced: bool
    gateways: int
    silent: int
    totals: dict[str, Total]
    failures: int
    errors: int
    pushes: int
    streams: int
    starts: dict[str, StartFigures | None]


class _Figures(Collector):
    def __init__(self, look: Callable[[], Standing]) -> None:
        self._look = look

    def collect(self) -> Iterator[Metric]:
        seen = self._look()
        yield GaugeMetricFamily("headrace_scaler_gateways", "Gateways known", seen.gateways)
        yield GaugeMetricFamily(
            "headrace_scaler_gateways_silent", "Of them, those without a fresh answer", seen.silent
        )
        yield GaugeMetricFamily("headrace_scaler_streams", "Streams of KEDA", seen.streams)
        demand = GaugeMetricFamily(
            "headrace_scaler_demand", "Held, queued and running, at least", labels=["deployment"]
        )
        unknown = GaugeMetricFamily(
            "headrace_scaler_unknown", "1 while nobody knows the demand", labels=["deployment"]
        )
        for name, total in seen.totals.items():
            of = total.demand
            demand.add_metric([name], of.held + of.queued + of.running)
            unknown.add_metric([name], float(bool(total.unknown)))
        yield from (demand, unknown)
        yield CounterMetricFamily(
            "headrace_scaler_failures", "Questions that a gateway did not answer", seen.failures
        )
        yield CounterMetricFamily(
            "headrace_scaler_errors", "Questions of KEDA answered with an error", seen.errors
        )
        yield CounterMetricFamily("headrace_scaler_pushes", "Wakings on a stream", seen.pushes)
        yield from start_metrics(seen.starts.items())


class Pages:
    """A small server for one page a connection."""

    def __init__(self, look: Callable[[], Standing]) -> None:
        self._look = look
        self._registry = CollectorRegistry()
        self._registry.register(_Figures(look))

    async def serve(self, listener: socket.socket) -> asyncio.Server:
        """Serve on a bound socket."""
        return await asyncio.start_server(self._answer, sock=listener, limit=_LONGEST_HEAD)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                head = await reader.readuntil(b"\r\n\r\n")
                status, body = self._page(head.split(b" ", 2)[1].decode("latin-1"))
                line = f"HTTP/1.1 {status.value} {status.phrase}\r\nconnection: close\r\n"
                kind = "content-type: text/plain; version=0.0.4; charset=utf-8\r\n"
                length = f"content-length: {len(body)}\r\n\r\n"
                writer.write((line + kind + length).encode() + body)
                await writer.drain()
        except (OSError, TimeoutError, EOFError, asyncio.LimitOverrunError, IndexError):
            pass  # whoever asked has gone, or speaks something else
        finally:
            writer.close()

    def _page(self, path: str) -> tuple[HTTPStatus, bytes]:
        match path.partition("?")[0]:
            case "/healthz":
                return HTTPStatus.OK, b"ok\n"
            case "/readyz":
                if self._look().synced:
                    return HTTPStatus.OK, b"ok\n"
                return HTTPStatus.SERVICE_UNAVAILABLE, b"the gateways are not known yet\n"
            case "/metrics":
                return HTTPStatus.OK, generate_latest(self._registry)
        return HTTPStatus.NOT_FOUND, b"here are /healthz, /readyz and /metrics\n"
