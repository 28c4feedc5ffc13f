"""KEDA's external scaler over gRPC: four questions, answered from the books.

The messages are generated from `externalscaler.proto`, which says how; the service is these
handlers. What the stream says only ever wakes: KEDA takes "inactive" from there for an order to
count towards sleep, past all other triggers of the same object, so that is left to its polls.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc

from headrace.fleet.types import Fleet
from headrace.kubernetes import answers
from headrace.kubernetes.answers import Asked, NotAskedForError, UnknownDemandError
from headrace.kubernetes.demand import Total
from headrace.kubernetes.externalscaler_pb2 import (
    GetMetricSpecResponse,
    GetMetricsRequest,
    GetMetricsResponse,
    IsActiveResponse,
    MetricSpec,
    MetricValue,
    ScaledObjectRef,
)

SERVICE = "externalscaler.ExternalScaler"
AGAIN = 10.0
"""Seconds until "active" is said again while it is: one that KEDA could not act upon is lost."""

Context = grpc.aio.ServicerContext[Any, Any]


class Signal:
    """Wakes everybody who waits for news of demand."""

    def __init__(self) -> None:
        self._news = asyncio.Event()

    def send(self) -> None:
        """Wake them."""
        self._news.set()
        self._news = asyncio.Event()

    async def wait(self) -> None:
        """Return at the next news."""
        await self._news.wait()


class KedaService:
    """Answers for the fleet that `fleet` returns, from what `total` returns for a deployment.

    `errors` counts answers that could not be given, `pushes` wakings said on a stream.
    """

    def __init__(
        self, fleet: Callable[[], Fleet], total: Callable[[str], Total], news: Signal
    ) -> None:
        self.errors = self.pushes = self.streams = 0
        self._fleet, self._total, self._news = fleet, total, news

    def handler(self) -> grpc.GenericRpcHandler:
        """Return what a server needs to serve it."""
        unary, stream = grpc.unary_unary_rpc_method_handler, grpc.unary_stream_rpc_method_handler
        ref = ScaledObjectRef.FromString
        methods: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            "IsActive": unary(self.is_active, ref, IsActiveResponse.SerializeToString),
            "StreamIsActive": stream(self.stream, ref, IsActiveResponse.SerializeToString),
            "GetMetricSpec": unary(self.spec, ref, GetMetricSpecResponse.SerializeToString),
            "GetMetrics": unary(
                self.metrics, GetMetricsRequest.FromString, GetMetricsResponse.SerializeToString
            ),
        }
        return grpc.method_handlers_generic_handler(SERVICE, methods)

    async def is_active(self, ref: ScaledObjectRef, context: Context) -> IsActiveResponse:
        """Whether there is work; an error, rather than no, where nobody knows."""
        about = await self._about(ref, context)
        try:
            return IsActiveResponse(result=answers.active(about, self._total(about.deployment)))
        except UnknownDemandError as error:
            await self._unknown(error, context)
            raise

    async def spec(self, ref: ScaledObjectRef, context: Context) -> GetMetricSpecResponse:
        """Return the targets, in requests for each replica."""
        about = await self._about(ref, context)
        return GetMetricSpecResponse(
            metricSpecs=[
                MetricSpec(
                    metricName=name, targetSize=round(one.target), targetSizeFloat=one.target
                )
                for name, one in about.triggers.items()
            ]
        )

    async def metrics(self, request: GetMetricsRequest, context: Context) -> GetMetricsResponse:
        """Return the requests that there are, of the one metric that is asked for."""
        about = await self._about(request.scaledObjectRef, context)
        try:
            found = answers.values(about, self._total(about.deployment))
        except UnknownDemandError as error:
            await self._unknown(error, context)
            raise
        name = request.metricName
        if name not in found:
            await self._wrong(f"{about.deployment} has no metric {name!r}", context)
        value = found[name]
        one = MetricValue(metricName=name, metricValue=round(value), metricValueFloat=value)
        return GetMetricsResponse(metricValues=[one])

    async def stream(
        self, ref: ScaledObjectRef, context: Context
    ) -> AsyncIterator[IsActiveResponse]:
        """Say "active" when it becomes so, and again and again while it is."""
        self.streams += 1
        try:
            async for _ in self._wakings(ref, context):
                self.pushes += 1
                yield IsActiveResponse(result=True)
        finally:
            self.streams -= 1

    async def _wakings(self, ref: ScaledObjectRef, context: Context) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        said: float | None = None
        while True:
            about = await self._about(ref, context)  # each time: the file may be another
            if not answers.wakes(about, self._total(about.deployment)):
                said = None
            elif said is None or loop.time() - said >= AGAIN:
                said = loop.time()
                yield
            await self._news.wait()

    async def _about(self, ref: ScaledObjectRef, context: Context) -> Asked:
        try:
            return answers.asked(self._fleet(), dict(ref.scalerMetadata))
        except NotAskedForError as error:
            await self._wrong(str(error), context)
            raise

    async def _wrong(self, why: str, context: Context) -> None:
        self.errors += 1
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, why)

    async def _unknown(self, why: UnknownDemandError, context: Context) -> None:
        self.errors += 1
        await context.abort(grpc.StatusCode.UNAVAILABLE, str(why))
