"""Proxies that run at once: how a load and its CPU time are shared out among them."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from bench.contenders import Contender
from bench.messages import Job
from bench.plan import ANSWERS, PASSING, SCENARIOS, Scenario
from bench.processes import MeasureError, divide
from bench.together import costs, measure_together


def test_chunks_passed_on_are_counted_while_all_streams_are_open() -> None:
    # 200 streams, one chunk each in 20 ms: 10,000 a second, 5,000 for each of two proxies. All are
    # open from 0.5 to 6 s; of that 0.8 to 5.7 s are looked at. What is outside is not.
    inside = [(1 + n / 10, [2 + 0.075 * n / 10, 3 + 0.05 * n / 10]) for n in range(47)]
    looks = [(0.5, [0.0, 0.0]), *inside, (5.8, [99.0, 99.0])]
    assert [round(one * 1e6, 6) for one in costs(PASSING, looks, 60_000)] == [15.0, 10.0]
    with pytest.raises(MeasureError, match="hardly looked at"):
        costs(PASSING, looks[:6], 60_000)


def test_with_requests_the_load_counts_from_its_beginning_to_its_end() -> None:
    # 50,000 chunks, 25,000 each, for 0.5 and 1 CPU seconds: 20 and 40 us a chunk.
    looks = [(0.0, [1.0, 1.0]), (3.0, [9.0, 9.0]), (7.0, [1.5, 2.0])]
    assert [round(one * 1e6, 6) for one in costs(ANSWERS, looks, 50_000)] == [20.0, 40.0]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.name)
def test_where_requests_come_and_go_no_time_is_of_chunks_alone(scenario: Scenario) -> None:
    assert scenario.passing is None


def forwarder(listen: int, backends: Sequence[int], folder: Path) -> list[str]:
    del folder
    return [sys.executable, "-c", FORWARDER, str(listen), str(backends[0])]


FORWARDER = """
import asyncio, sys
listen, to = map(int, sys.argv[1:])
async def pump(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
    finally:
        writer.close()
async def serve(reader, writer):
    up = await asyncio.open_connection("127.0.0.1", to)
    await asyncio.gather(pump(reader, up[1]), pump(up[0], writer), return_exceptions=True)
async def main():
    async with await asyncio.start_server(serve, "127.0.0.1", listen) as server:
        await server.serve_forever()
asyncio.run(main())
"""


def test_two_real_proxies_share_a_load() -> None:
    few = Scenario(
        "few",
        "six streams that come and go",
        Job(targets=[], streams=6, tokens=5, gap=0.01, arrivals=0.5, seed=3, stream_rate=20),
    )
    takers = [Contender(name, forwarder) for name in ("one", "two")]
    found = measure_together(few, takers, 0, divide(os.sched_getaffinity(0)))
    assert found.invalid == ""
    assert list(found.costs) == ["one", "two"]
    assert all(cost > 0 for cost in found.costs.values())
