"""`python -m bench.starts`: vLLM started plainly and by Headrace, in turns, to the right answer.

Three rounds are some three minutes on two idle cores. `--cold` empties the page cache before each
start, which only root may; `--together 2` starts as many at once.
"""

from __future__ import annotations

import argparse
import os
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

from bench.starts.launches import KINDS, Launches
from bench.starts.run import Seen, run


def main() -> None:
    """Measure and print."""
    given = _arguments()
    launches = Launches()
    seen: dict[str, list[Seen]] = {kind: [] for kind in given.kinds}
    for number in range(given.rounds):
        for kind in given.kinds:
            if given.cold:
                _empty_page_cache()
            made = [launches.make(kind) for _ in range(given.together)]
            with ThreadPoolExecutor(given.together) as pool:
                found = list(pool.map(lambda one: run(one, work=given.together == 1), made))
            seen[kind] += found
            took = ", ".join(f"{one.answer:.1f} s, then {one.rate:.0f} tokens/s" for one in found)
            print(f"round {number + 1}, {kind}: {took}", flush=True)
    _print(seen)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cold", action="store_true")
    parser.add_argument("--together", type=int, default=1)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    return parser.parse_args()


def _empty_page_cache() -> None:
    subprocess.run(["sync"], check=True)
    Path("/proc/sys/vm/drop_caches").write_text("3\n")


def _print(seen: dict[str, list[Seen]]) -> None:
    print(f"\nmedians, {len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f}")
    print(f"{'':14}{'health':>9}{'answer':>9}{'CPU':>9}{'memory':>10}{'tokens/s':>10}")
    for kind, ones in seen.items():
        row = (
            f"{_median(ones, 'health'):>7.1f} s{_median(ones, 'answer'):>7.1f} s"
            f"{_median(ones, 'cpu'):>7.1f} s{_median(ones, 'memory') / 2**30:>6.2f} GiB"
            f"{_median(ones, 'rate'):>10.0f}"
        )
        print(f"{kind:14}{row}")
    first, *_, last = [*seen, *seen]
    ratio = _median(seen[first], "answer") / _median(seen[last], "answer")
    print(f"{last} answers rightly {ratio:.2f} times as soon as {first}")


def _median(ones: Sequence[Seen], field: str) -> float:
    found: float = median(getattr(one, field) for one in ones)
    return found


if __name__ == "__main__":
    main()
