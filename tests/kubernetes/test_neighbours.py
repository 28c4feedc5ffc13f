"""Gateways in Pods of their own keep one limit together."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import msgspec
from cluster_kit import Gateway, cluster, engine, gateway, until, until_so, write_fleet

from headrace.gateway.control import Key
from headrace.kubernetes.neighbours import Neighbours
from headrace.kubernetes.slices import Endpoint
from headrace.ledger.peers import Spending
from headrace.routing.route import Limits


def limited(folder: Path, limits: str) -> Path:
    path = write_fleet(folder / "fleet.yaml")
    path.write_text(
        path.read_text().replace("deployment: d}", f"deployment: d, limits: [{limits}]}}")
    )
    return path


async def row(serving: Gateway) -> dict[str, Any]:
    """What a gateway tells of its route's limits."""
    found = (await serving.look("/usage")).json()["rows"]
    return dict(found.get("route r", {}))


async def test_what_one_lets_in_per_minute_the_other_does_not(tmp_path: Path) -> None:
    fleet = limited(tmp_path, "{requests_per_minute: 3}")
    async with cluster(tmp_path) as it, engine() as one:
        it.pod("d-1", one.port)
        async with gateway(it, fleet, state="a") as a, gateway(it, fleet, state="b") as b:
            it.gateway_pod("gateway-a", a.admin)
            it.gateway_pod("gateway-b", b.admin)
            assert (await b.ask()).status_code == 200
            assert [(await a.ask()).status_code for _ in range(2)] == [200, 200]

            async def heard() -> bool:
                used = [(await row(serving))["requests_used"] for serving in (a, b)]
                return min(used) > 2.2  # of 3; one flows back in 20 s, so this holds for 16

            await until_so(heard)
            answer = await b.ask()
            assert answer.status_code == 429
            assert answer.json()["error"]["code"] == "request_rate_limit"


async def test_requests_at_once_count_until_they_end_or_their_gateway_does(tmp_path: Path) -> None:
    fleet = limited(tmp_path, "{concurrency: 2}")
    async with cluster(tmp_path) as it, engine("--tpot", "0.1") as one:
        it.pod("d-1", one.port)
        async with gateway(it, fleet, state="a") as a, gateway(it, fleet, state="b") as b:
            it.gateway_pod("gateway-a", a.admin)
            it.gateway_pod("gateway-b", b.admin)
            long = [a.ask(stream=True, max_tokens=1500) for _ in range(2)]
            await a.demanded(running=2)

            async def answers(status: int) -> bool:
                return (await b.ask(max_tokens=1)).status_code == status

            await until_so(lambda: answers(429))
            a.child.tell(9)
            it.gone("gateway-a")
            await until_so(lambda: answers(200))
            await asyncio.gather(*long, return_exceptions=True)


async def test_they_ask_each_other_only_while_something_is_limited() -> None:
    asked: list[str] = []
    told: list[Spending] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(200, content=msgspec.json.encode(Spending("other", {})))

    other = Endpoint("g-2", "uid", "10.0.0.2", 8081, ready=True, serving=True, terminating=False)
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        neighbours = Neighbours(client, told.append)
        neighbours.see({"g-2": other})
        neighbours.obey([], [])
        await asyncio.sleep(0)
        assert asked == []
        neighbours.obey([], [Key(name="k", digest="", limits=Limits(concurrency=1))])
        await until(lambda: told)
        assert asked[0] == "http://10.0.0.2:8081/usage"
        neighbours.close()
