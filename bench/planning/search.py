"""CPU seconds of a search over the catalogue: `python -m bench.planning.search`.

All accelerators, every tensor and pipeline parallelism on 1 and on 2 nodes, all quantizations that
make sense, for one model: weighed, ranked and put into words.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence

from headrace.capacity.choose import Choice, choose
from headrace.capacity.layouts import Nodes
from headrace.capacity.lengths import Lengths
from headrace.capacity.options import Ask, Offer
from headrace.capacity.slo import slo_for
from headrace.hardware.catalogue import accelerators, example_price
from headrace.models.catalogue import need_known_model

MODELS = ("Llama-3.1-8B", "Llama-3.1-70B", "gpt-oss-120b", "gemma-3-27b-it", "DeepSeek-V3")
UNPRICED = 1.0
"""For an hour of what has no example of a price."""
LINE = "{:<16} {:>5} {:>6} {:>6} {:>6} {:>6}  {}"


def offers(nodes: int) -> list[Offer]:
    """Return all that the catalogue has, `nodes` nodes of each, at the example prices."""
    priced = [(one, example_price(one)) for one in accelerators()]
    return [
        Offer(Nodes.usual(one, nodes), price.usd_per_hour if price else UNPRICED)
        for one, price in priced
    ]


def rows(models: Sequence[str], rate: float) -> Iterator[str]:
    """Yield a line for each model and number of nodes, after a first search that warms up."""
    _search(models[0], 1, rate)
    yield LINE.format("model", "nodes", "CPU s", "kept", "beaten", "missed", "first")
    for model in models:
        for nodes in (1, 2):
            began = time.process_time()
            found = _search(model, nodes, rate)
            seconds = f"{time.process_time() - began:.2f}"
            first = found.kept[0].option.name if found.kept else "none"
            counts = len(found.kept), len(found.beaten), len(found.missed)
            yield LINE.format(model, nodes, seconds, *counts, first)


def _search(model: str, nodes: int, rate: float) -> Choice:
    ask = Ask(need_known_model(model), Lengths.fixed(1000, 300), rate, slo_for("interactive"), 8192)
    return choose(ask, offers(nodes))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    line = argparse.ArgumentParser(prog="python -m bench.planning.search", description=__doc__)
    line.add_argument("--models", nargs="+", default=list(MODELS))
    line.add_argument("--rate", type=float, default=5.0, help="requests a second")
    given = line.parse_args(arguments)
    for row in rows(given.models, given.rate):
        print(row)


if __name__ == "__main__":
    main()
