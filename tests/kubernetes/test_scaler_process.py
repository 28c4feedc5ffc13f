"""The external scaler as KEDA meets it: a gRPC client of its published contract, real gateways."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from cluster_kit import (
    PATIENCE,
    SIGKILL,
    SIGTERM,
    Child,
    Cluster,
    child,
    cluster,
    drop,
    engine,
    gateway,
    until_so,
    write_fleet,
)
from grpc_tools import protoc

from headrace.kubernetes import externalscaler_pb2 as pb


@dataclass
class Keda:
    """What KEDA's operator asks, for a ScaledObject with these metadata."""

    channel: grpc.aio.Channel

    def ref(self, **metadata: str) -> pb.ScaledObjectRef:
        address = {"scalerAddress": "f-scaler.f.svc:9090"}  # KEDA passes all of them on
        return pb.ScaledObjectRef(
            name="f-d", namespace="f", scalerMetadata=address | (metadata or {"deployment": "d"})
        )

    async def active(self, **metadata: str) -> bool:
        ask = self._method("IsActive", pb.ScaledObjectRef, pb.IsActiveResponse)
        return bool((await ask(self.ref(**metadata), timeout=PATIENCE)).result)

    async def targets(self, **metadata: str) -> dict[str, float]:
        ask = self._method("GetMetricSpec", pb.ScaledObjectRef, pb.GetMetricSpecResponse)
        found = await ask(self.ref(**metadata), timeout=PATIENCE)
        return {one.metricName: one.targetSizeFloat for one in found.metricSpecs}

    async def value(self, metric: str, **metadata: str) -> float:
        ask = self._method("GetMetrics", pb.GetMetricsRequest, pb.GetMetricsResponse)
        request = pb.GetMetricsRequest(scaledObjectRef=self.ref(**metadata), metricName=metric)
        (found,) = (await ask(request, timeout=PATIENCE)).metricValues
        assert found.metricName == metric
        assert found.metricValue == found.metricValueFloat
        return float(found.metricValueFloat)

    def pushes(self) -> Any:
        stream = self.channel.unary_stream(
            "/externalscaler.ExternalScaler/StreamIsActive",
            request_serializer=pb.ScaledObjectRef.SerializeToString,
            response_deserializer=pb.IsActiveResponse.FromString,
        )
        return stream(self.ref())

    def _method(self, name: str, asks: Any, gets: Any) -> Any:
        return self.channel.unary_unary(
            f"/externalscaler.ExternalScaler/{name}",
            request_serializer=asks.SerializeToString,
            response_deserializer=gets.FromString,
        )


@dataclass
class Scaler:
    child: Child
    keda: Keda
    port: int
    health: int

    async def page(self, path: str) -> httpx.Response:
        async with httpx.AsyncClient(timeout=PATIENCE, trust_env=False) as client:
            return await client.get(f"http://127.0.0.1:{self.health}{path}")

    async def refusal(self, metric: str = "waiting") -> str:
        """Wait until there is no value any more; return why."""
        why: list[str] = []

        async def so() -> bool:
            try:
                found = await self.keda.value(metric)
            except grpc.aio.AioRpcError as error:
                why.append(f"{error.code().name}: {error.details()}")
                return True
            assert found > 0
            return False

        await until_so(so)
        return why[0]

    async def shows(self, series: str, value: float) -> None:
        """Wait until a series of its metrics has a value."""

        async def so() -> bool:
            return f"{series} {float(value)}\n" in (await self.page("/metrics")).text

        await until_so(so)

    async def counted(self, metric: str, value: float) -> None:
        """Wait until a metric has a value."""

        async def so() -> bool:
            with contextlib.suppress(grpc.aio.AioRpcError):
                return await self.keda.value(metric) == value
            return False

        await until_so(so)


@contextlib.asynccontextmanager
async def scaler(it: Cluster, fleet: Path, *flags: str) -> AsyncIterator[Scaler]:
    command = (
        *("headrace", "scaler", str(fleet), "--listen", "127.0.0.1:0"),
        *("--admin", "127.0.0.1:0", *flags),
    )
    async with child(*command, KUBECONFIG=str(it.config)) as made:
        found = await made.said(r"serving KEDA on port (\d+), health on port (\d+)")
        async with grpc.aio.insecure_channel(f"127.0.0.1:{found[1]}") as channel:
            yield Scaler(made, Keda(channel), int(found[1]), int(found[2]))


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    return write_fleet(tmp_path / "fleet.yaml")


async def test_from_zero_the_first_held_request_is_pushed_within_two_seconds(
    tmp_path: Path, fleet: Path
) -> None:
    async with (
        cluster(tmp_path) as it,
        engine() as one,
        gateway(it, fleet) as serving,
        scaler(it, fleet) as scaling,
    ):
        it.gateway_pod("g-1", serving.admin)
        await scaling.counted("waiting", 0)
        assert not await scaling.keda.active()
        pushes = scaling.keda.pushes()
        first = asyncio.ensure_future(pushes.read())
        await scaling.shows("headrace_scaler_streams", 1)
        loop = asyncio.get_running_loop()
        asked = serving.ask()
        await serving.demanded(held=1)
        held = loop.time()
        assert (await asyncio.wait_for(first, PATIENCE)).result is True
        assert loop.time() - held < 2.0
        assert await scaling.keda.active()
        assert await scaling.keda.value("waiting") == 1
        it.pod("d-1", one.port)  # what KEDA's scaling would bring
        assert (await asked).status_code == 200
        await scaling.counted("waiting", 0)
        assert not await scaling.keda.active()
        pushes.cancel()


async def test_running_requests_keep_a_deployment_awake_though_nothing_waits(
    tmp_path: Path, fleet: Path
) -> None:
    async with (
        cluster(tmp_path) as it,
        engine() as one,
        gateway(it, fleet) as serving,
        scaler(it, fleet) as scaling,
    ):
        it.gateway_pod("g-1", serving.admin)
        it.pod("d-1", one.port)
        await serving.shows('headrace_pods{deployment="d",state="ready"}', 1)
        await one.faults(hang_after=3)
        asked = serving.ask(stream=True, max_tokens=30)
        await scaling.counted("demand-r", 1)
        assert await scaling.keda.value("waiting") == 0
        assert await scaling.keda.active(deployment="d", trigger="waiting")
        await drop(asked)


async def test_the_demand_of_all_gateways_is_one_number(tmp_path: Path, fleet: Path) -> None:
    async with (
        cluster(tmp_path) as it,
        gateway(it, fleet, state="1") as one,
        gateway(it, fleet, state="2") as two,
        scaler(it, fleet) as scaling,
    ):
        it.gateway_pod("g-1", one.admin)
        # A gateway that drains has clients as long as it is there.
        it.gateway_pod("g-2", two.admin, terminating=True)
        asked = [one.ask(), two.ask(), two.ask()]
        await scaling.counted("waiting", 3)
        assert await scaling.keda.value("demand-r") == 3
        assert await scaling.keda.targets() == {"waiting": 2.5, "demand-r": 4}
        assert await scaling.keda.targets(deployment="d", trigger="waiting") == {"waiting": 2.5}
        it.gone("g-2")
        await scaling.counted("waiting", 1)
        page = (await scaling.page("/metrics")).text
        assert 'headrace_scaler_demand{deployment="d"} 1.0' in page
        assert "headrace_scaler_gateways 1.0" in page
        await drop(*asked)


async def test_a_gateway_that_died_is_not_idle(tmp_path: Path, fleet: Path) -> None:
    async with (
        cluster(tmp_path) as it,
        gateway(it, fleet, state="1") as dead,
        gateway(it, fleet, state="2") as alive,
        scaler(it, fleet, "--keep", "3") as scaling,
    ):
        it.gateway_pod("g-1", dead.admin)
        it.gateway_pod("g-2", alive.admin)
        asked = [dead.ask(), alive.ask(), alive.ask()]
        await scaling.counted("waiting", 3)
        dead.child.tell(SIGKILL)
        await dead.child.ended()
        loop = asyncio.get_running_loop()
        died = loop.time()
        assert await scaling.keda.value("waiting") == 3  # its last word counts for a while
        why = await scaling.refusal()  # until then it was never 0
        assert 2 < loop.time() - died < 6
        assert why.startswith("UNAVAILABLE: the demand of d is not known: gateway g-1 is silent")
        # What the other one says is enough to be awake, whatever the dead one had.
        assert await scaling.keda.active()
        await drop(*asked[1:])
        await alive.demanded(held=0)
        with pytest.raises(grpc.aio.AioRpcError, match="gateway g-1 is silent"):
            await until_so(lambda: _inactive(scaling))
        page = (await scaling.page("/metrics")).text
        assert 'headrace_scaler_unknown{deployment="d"} 1.0' in page
        it.gone("g-1")  # it is said to be gone: then its clients are
        await scaling.counted("waiting", 0)
        assert not await scaling.keda.active()
        await drop(*asked)


async def _inactive(scaling: Scaler) -> bool:
    return not await scaling.keda.active()


async def test_before_it_knows_any_gateway_it_says_so(tmp_path: Path, fleet: Path) -> None:
    async with cluster(tmp_path) as it, scaler(it, fleet) as scaling:
        assert "no gateway" in await scaling.refusal()
        with pytest.raises(grpc.aio.AioRpcError, match="is not known"):
            await scaling.keda.active()

        async def synced() -> bool:
            return (await scaling.page("/readyz")).status_code == 200

        await until_so(synced)
        assert "no gateway" in await scaling.refusal()
        assert (await scaling.page("/healthz")).text == "ok\n"
        assert (await scaling.page("/")).status_code == 404


async def test_metadata_that_name_nothing_are_refused_in_words(tmp_path: Path, fleet: Path) -> None:
    async with cluster(tmp_path) as it, scaler(it, fleet) as scaling:
        with pytest.raises(grpc.aio.AioRpcError, match="deployment 'x'; known: d") as wrong:
            await scaling.keda.active(deployment="x")
        assert wrong.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        with pytest.raises(grpc.aio.AioRpcError, match="'load'; known: waiting, demand-r"):
            await scaling.keda.targets(deployment="d", trigger="load")
        write_fleet(tmp_path / "next.yaml", more="gateway: {port: 1}")
        (tmp_path / "next.yaml").write_text(
            (tmp_path / "next.yaml").read_text().replace("signal: waiting", "signal: running")
        )
        (tmp_path / "next.yaml").replace(fleet)
        await scaling.child.said("in force")
        assert await scaling.keda.targets() == {"running": 2.5, "demand-r": 4}


async def test_sigterm_ends_it(tmp_path: Path, fleet: Path) -> None:
    async with cluster(tmp_path) as it, scaler(it, fleet) as scaling:
        scaling.child.tell(SIGTERM)
        assert await scaling.child.ended() == 0


async def test_an_address_that_is_taken_is_a_sentence(tmp_path: Path, fleet: Path) -> None:
    async with cluster(tmp_path) as it, scaler(it, fleet) as scaling:
        for flag, port in (("--listen", scaling.port), ("--admin", scaling.health)):
            command = ("headrace", "scaler", str(fleet), flag, f"127.0.0.1:{port}")
            other = "--admin" if flag == "--listen" else "--listen"
            places = (*command, other, "127.0.0.1:0")
            async with child(*places, KUBECONFIG=str(it.config)) as second:
                assert await second.ended() == 1
                await second.said(f"headrace: cannot listen on 127.0.0.1:{port}: .*HOST:PORT")


def test_the_generated_messages_are_those_of_the_contract(tmp_path: Path) -> None:
    source = Path(pb.__file__).with_name("externalscaler.proto")
    places = [f"-I{source.parents[2]}", f"--python_out={tmp_path}", f"--pyi_out={tmp_path}"]
    assert protoc.main(["protoc", *places, str(source)]) == 0
    for suffix in (".py", ".pyi"):
        made = tmp_path / "headrace" / "kubernetes" / f"externalscaler_pb2{suffix}"
        assert made.read_text() == source.with_name(made.name).read_text()


def test_the_contract_is_kedas() -> None:
    # Field numbers and types as KEDA publishes them: what is on the wire, written out by hand.
    ref = pb.ScaledObjectRef(name="n", namespace="s", scalerMetadata={"k": "v"})
    assert ref.SerializeToString() == b"\x0a\x01n\x12\x01s\x1a\x06\x0a\x01k\x12\x01v"
    assert pb.IsActiveResponse(result=True).SerializeToString() == b"\x08\x01"
    spec = pb.GetMetricSpecResponse(
        metricSpecs=[pb.MetricSpec(metricName="m", targetSize=2, targetSizeFloat=2.0)]
    )
    two = b"\x00\x00\x00\x00\x00\x00\x00\x40"  # 2.0, little-endian
    assert spec.SerializeToString() == b"\x0a\x0e\x0a\x01m\x10\x02\x19" + two
    request = pb.GetMetricsRequest(scaledObjectRef=pb.ScaledObjectRef(name="n"), metricName="m")
    assert request.SerializeToString() == b"\x0a\x03\x0a\x01n\x12\x01m"
    answer = pb.GetMetricsResponse(
        metricValues=[pb.MetricValue(metricName="m", metricValue=2, metricValueFloat=2.0)]
    )
    assert answer.SerializeToString() == b"\x0a\x0e\x0a\x01m\x10\x02\x19" + two
