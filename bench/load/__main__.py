"""`python -m bench.load`: our client beside httpx and openai, against one server in one run.

Server and client have a core each, and clients take turns. About a minute.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

import msgspec

from bench.load.seen import Order, Seen
from bench.processes import free_port, until_it_listens

_GAP = 0.02
_TOKENS = 100
_STEADY, _MANY = 64, 512
"""Streams at once: what all clients can bear, and what only ours can."""
CLIENTS = {
    "headrace": ("bench.load.ours",),
    "httpx": ("bench.load.naive", "httpx"),
    "openai": ("bench.load.naive", "openai"),
}


@contextmanager
def server(gap: float) -> Iterator[int]:
    """Run the server on the first core and give its port."""
    port = free_port()
    command = _on_core(0, "bench.load.server", str(port), str(gap))
    process = subprocess.Popen(command)
    try:
        asyncio.run(until_it_listens(port))
        yield port
    finally:
        process.kill()
        process.wait()


def run(client: str, order: Order) -> Seen:
    """Run a client on the last core and return what it saw."""
    words = (*CLIENTS[client], msgspec.json.encode(order).decode())
    command = _on_core(-1, *words)
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return msgspec.json.decode(done.stdout, type=Seen)


def _on_core(which: int, *words: str) -> list[str]:
    core = sorted(os.sched_getaffinity(0))[which]
    return ["taskset", "-c", str(core), sys.executable, "-m", *words]


def streams(clients: int, names: tuple[str, ...], repeats: int) -> None:
    """Print what a token costs, and how late it is seen, while so many stream."""
    print(f"\n{clients} streams, {clients / _GAP:,.0f} tokens/s, all in one step every 20 ms")
    print(f"{'':<12}{'CPU us/token':>14}{'tokens/s/core':>15}{'seen late p50':>15}{'p99, ms':>10}")
    with server(_GAP) as port:
        order = Order(port, 2 * clients, _TOKENS, clients)
        found: dict[str, list[Seen]] = {name: [] for name in names}
        for _ in range(repeats):
            for name in names:
                found[name].append(run(name, order))
    for name, seen in found.items():
        cost = median(one.cpu_per_chunk for one in seen)
        p50 = 1000 * median(one.late_p50 for one in seen)
        p99 = 1000 * median(one.late_p99 for one in seen)
        print(f"{name:<12}{cost * 1e6:>14.1f}{1 / cost:>15,.0f}{p50:>15.2f}{p99:>10.2f}")
    _ratios({name: median(one.cpu_per_chunk for one in seen) for name, seen in found.items()})


def requests(repeats: int) -> None:
    """Print what a request of one token costs."""
    print("\nrequests of one token, 32 clients, answered at once")
    print(f"{'':<12}{'requests/s':>14}{'CPU us/request':>16}")
    costs = {}
    with server(0.0) as port:
        for name in CLIENTS:
            many = 20_000 if name == "headrace" else 2_000
            seen = [run(name, Order(port, many, 1, 32)) for _ in range(repeats)]
            costs[name] = median(one.cpu_per_request for one in seen)
            rate = median(one.requests / one.wall for one in seen)
            print(f"{name:<12}{rate:>14,.0f}{costs[name] * 1e6:>16.0f}")
    _ratios(costs)


def _ratios(costs: dict[str, float]) -> None:
    ours = costs.pop("headrace")
    if costs:
        said = (f"{name} costs {cost / ours:.1f} times as much" for name, cost in costs.items())
        print("; ".join(said))


def main() -> None:
    """Measure and print."""
    line = argparse.ArgumentParser(prog="python -m bench.load")
    line.add_argument("--repeats", type=int, default=3)
    repeats = line.parse_args().repeats
    streams(_STEADY, tuple(CLIENTS), repeats)
    streams(_MANY, ("headrace",), repeats)
    requests(repeats)
    print()
    subprocess.run(_on_core(-1, "bench.load.timer"), check=True)


if __name__ == "__main__":
    main()
