"""Policies against each other on 16 replicas in virtual time: `python -m bench.routing`."""

from __future__ import annotations

import argparse
from time import perf_counter

from bench.routing import traffic
from bench.routing.engine import Request
from bench.routing.policies import POLICIES
from bench.routing.simulate import simulate

LOADS = {"hot prefix": (0.75, 1.5, 2.25)}
"""Where most of the prompts is cached in any case, more of them can be served."""


def traffics(seed: int, count: int) -> dict[str, list[Request]]:
    """Return the kinds of traffic by name."""
    made = {
        "conversations": traffic.conversations(seed, count),
        "hot prefix": traffic.hot(seed, count),
        "strangers": traffic.strangers(seed, count),
    }
    recorded = {"mooncake": traffic.mooncake(seed)} if traffic.MOONCAKE.exists() else {}
    return recorded | made


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=6000, help="requests of made-up traffic")
    parser.add_argument("--loads", type=float, nargs="+", default=[])
    parser.add_argument("--only", nargs="+", default=[], help="kinds of traffic")
    args = parser.parse_args()
    print("| traffic | load | policy | hit | TTFT mean | p50 | p99 | TPOT p50 | imbalance | busy |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    started = perf_counter()
    for name, requests in traffics(args.seed, args.count).items():
        for load in args.loads or LOADS.get(name, (0.3, 0.6, 0.9)):
            for policy in POLICIES:
                if args.only and name not in args.only:
                    continue
                got = simulate(traffic.at_load(requests, 16, load), policy)
                print(
                    f"| {name} | {load:.0%} | {policy} | {got.hit:.1%} | {got.mean:.3f} s "
                    f"| {got.p50:.3f} | {got.p99:.3f} | {got.tpot * 1000:.1f} ms "
                    f"| {got.imbalance:.2f} | {got.busiest:.2f} |",
                    flush=True,
                )
    print(f"\nseed {args.seed}, {perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
