"""How far off the planner is, and how fast: `python -m bench.planning --traces FOLDER`.

FOLDER holds the Azure and Mooncake traces. `python -m bench.planning.measure` fits this machine's
own vLLM and predicts a run that it has not seen.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from bench.planning.cross import HEAD, rows
from bench.planning.recorded import recorded
from bench.planning.speed import azure, batching
from bench.planning.traces import traces


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the errors from card to card, the speed, and whether traces are read as known."""
    options = argparse.ArgumentParser(prog="python -m bench.planning", description=__doc__)
    options.add_argument("--traces", type=Path, default=Path("../shared/traces"))
    given = options.parse_args(arguments)
    runs = recorded()
    print(HEAD)
    for row in rows(runs):
        print(row)
    print()
    traffic = azure(given.traces / "AzureLLMInferenceTrace_conv.csv")
    for one in runs:
        print(batching(traffic, one))
    print()
    for line in traces(given.traces):
        print(line)


if __name__ == "__main__":
    main()
