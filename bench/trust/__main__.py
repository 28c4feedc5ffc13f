"""`python -m bench.trust`: our client and vLLM's `bench serve` in turns on one real vLLM.

Ends with a verdict: p50 and p95 of TTFT and TPOT within 5 % of each other. About 7 minutes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from bench.trust.compare import WITHIN, Agreement, Delivery, agreements, delivery
from bench.trust.engine import engine
from bench.trust.ours import ours
from bench.trust.plan import Plan, Times
from bench.trust.theirs import theirs

Seen = list[Times]


def _options() -> argparse.Namespace:
    line = argparse.ArgumentParser(prog="python -m bench.trust", description=__doc__)
    line.add_argument("--repeats", type=int, default=5)
    line.add_argument("--requests", type=int, default=60, help="of each client in each repeat")
    line.add_argument("--rate", type=float, default=2.0)
    line.add_argument("--burstiness", type=float, default=1.0)
    line.add_argument("--tokens", type=int, default=32)
    return line.parse_args()


def measured(given: argparse.Namespace, scratch: Path) -> tuple[list[Plan], Seen, Seen]:
    """Let both send, one after the other; who begins changes from repeat to repeat."""
    plans = [
        Plan(seed, given.requests, given.rate, given.burstiness, given.tokens)
        for seed in range(given.repeats)
    ]
    mine: Seen = []
    other: Seen = []
    with engine(scratch) as there:
        ours(there.url, there.model, Plan(999, 20, given.rate * 2, 1.0, given.tokens))  # warms up
        for plan in plans:
            first = plan.seed % 2 == 0
            if first:
                mine.append(ours(there.url, there.model, plan))
            other.append(theirs(there.python, there.url, there.model, plan, scratch))
            if not first:
                mine.append(ours(there.url, there.model, plan))
            print(f"repeat {plan.seed + 1} of {given.repeats} is done", file=sys.stderr)
    return plans, mine, other


def show(found: list[Agreement], deliveries: dict[str, Delivery]) -> None:
    """Print the tables."""
    print(f"{'':<12}{'headrace, ms':>14}{'vLLM, ms':>12}{'difference':>12}{'by chance':>20}")
    for one in found:
        times = f"{one.ours * 1e3:>14.2f}{one.theirs * 1e3:>12.2f}"
        chance = f"{one.low:+.1%} to {one.high:+.1%}"
        print(f"{one.name:<12}{times}{one.share:>+12.1%}{chance:>20}")
    print(f"\n{'arrivals':<12}{'off p50, ms':>14}{'p99, ms':>12}{'rate of asked':>16}")
    for name, sent in deliveries.items():
        print(f"{name:<12}{sent.p50 * 1e3:>14.3f}{sent.p99 * 1e3:>12.3f}{sent.rate:>16.4f}")


def main() -> None:
    """Measure, print, and exit with 1 if they do not agree."""
    given = _options()
    with tempfile.TemporaryDirectory(prefix="trust-") as scratch:
        plans, mine, other = measured(given, Path(scratch))
    found = agreements(mine, other)
    show(found, {"headrace": delivery(plans, mine), "vLLM": delivery(plans, other)})
    apart = [one.name for one in found if not one.agrees]
    many = given.repeats * given.requests
    print(f"\n{many} requests each, {given.rate:g}/s: ", end="")
    print(
        f"within {WITHIN:.0%}" if not apart else f"more than {WITHIN:.0%} apart: {', '.join(apart)}"
    )
    sys.exit(bool(apart))


if __name__ == "__main__":
    main()
