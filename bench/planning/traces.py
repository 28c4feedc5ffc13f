"""Public traces as we read them against what is known of them, and of what we took from them.

Routes that declare no lengths are given those of these traces (`headrace.planning.loads.ASSUMED`).
The traces are not part of the project, so no test can look at them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from headrace.fleet.routes import Workload
from headrace.planning.loads import ASSUMED
from headrace.traffic.importers import read_traffic
from headrace.traffic.lengths import Summary, summarise


class Known(NamedTuple):
    """What others counted: requests, how many a second, and p50 and p99 of lengths in tokens."""

    requests: int
    rate: float
    prompt: tuple[int, int]
    output: tuple[int, int]


CODE, CONVERSATIONS, MOONCAKE = (
    "AzureLLMInferenceTrace_code.csv",
    "AzureLLMInferenceTrace_conv.csv",
    "mooncake_conversation_trace.jsonl",
)
KNOWN = {
    CODE: Known(8819, 2.57, (1469, 7436), (13, 252)),
    CONVERSATIONS: Known(19_366, 5.53, (1020, 4142), (129, 601)),
    MOONCAKE: Known(12_031, 3.40, (6909, 85_401), (350, 1120)),
}
_TAKEN: dict[Workload, tuple[str, str]] = {
    "interactive": (CONVERSATIONS, CONVERSATIONS),
    "batch": (CODE, CONVERSATIONS),
    "long-context": (MOONCAKE, MOONCAKE),
}
"""Whose prompts and whose answers each kind of work is given."""


def traces(folder: Path) -> Iterator[str]:
    """Yield a line for each trace and each kind of work, which says whether they agree."""
    read = {name: _figures(summarise(read_traffic(folder / name))) for name in KNOWN}
    for name, known in KNOWN.items():
        yield f"{name}: {_word(read[name] == known)}: {read[name]}"
    for workload, (prompts, outputs) in _TAKEN.items():
        prompt, output, _ = ASSUMED[workload]
        assumed = (prompt.p50, prompt.p99), (output.p50, output.p99)
        yield f"{workload}: {_word(assumed == (read[prompts].prompt, read[outputs].output))}"


def _figures(found: Summary) -> Known:
    prompt, output = found.prompt, found.output
    lengths = (prompt.p50, prompt.p99), (output.p50, output.p99)
    return Known(found.count, round(found.rate, 2), *lengths)


def _word(same: bool) -> str:
    return "as known" if same else "NOT AS KNOWN"
