"""Runs that others recorded on GPUs: who they are, and the flags they were made with.

Llama-3.1-8B on vLLM 0.19, 300 ShareGPT requests at 10 a second (LLMServingSim 2.0, MIT; the files
are in `tests/recorded`). The RTX PRO 6000 is the Server Edition: LLMServingSim's own
`hardware.yaml` says 1,597.6 GB/s and 188 multiprocessors at 2,430 MHz, so bf16 is 188 * 1024 * 2.43
GHz = 467.8 TFLOP/s, less than the workstation card has of both.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from headrace.capacity.kv import kv_cache
from headrace.capacity.kv_pool import Pool
from headrace.capacity.measured_run import read_run
from headrace.capacity.memory import budgets
from headrace.capacity.served import Served
from headrace.capacity.setup import Setup
from headrace.hardware.accelerator import Accelerator
from headrace.hardware.catalogue import find_accelerator
from headrace.models.catalogue import known_model
from headrace.models.weight_bytes import weights_by_formula

ENGINE = "0.19.0"
_FOLDER = Path(__file__).parents[2] / "tests" / "recorded"
SERVER_EDITION = replace(
    find_accelerator("RTX-PRO-6000"),
    name="RTX-PRO-6000 Server Edition",
    bandwidth=1597.6e9,
    compute={"bf16": 188 * 1024 * 2.43e9},
)


@dataclass(frozen=True)
class Recorded:
    """A run, what it ran on, and its KV blocks: as logged (None where they never ran out)."""

    name: str
    run: Served
    setup: Setup
    logged_blocks: int | None

    @property
    def planned(self) -> Pool:
        """The KV cache as `memory.py` and `kv.py` plan it."""
        return Pool.of(kv_cache(self.setup, [one.kv for one in budgets(self.setup, ENGINE)]))

    @property
    def pool(self) -> Pool:
        """The KV cache that the run had, as far as it is known."""
        return Pool(self.logged_blocks) if self.logged_blocks else self.planned


def recorded() -> tuple[Recorded, Recorded]:
    """Read both runs."""
    return (
        _one("RTX4090", find_accelerator("RTX-4090"), 256, 2588),
        _one("RTXPRO6000", SERVER_EDITION, 128, None),
    )


def _one(name: str, accelerator: Accelerator, sequences: int, blocks: int | None) -> Recorded:
    architecture = known_model("Llama-3.1-8B")
    if architecture is None:
        raise LookupError("Llama-3.1-8B is not in the catalogue of models")
    setup = Setup(
        architecture,
        weights_by_formula(architecture),
        accelerator,
        max_model_len=32_768,
        max_num_seqs=sequences,
        max_num_batched_tokens=2048,
        gpu_memory_utilization=0.9,
    )
    run = read_run(_lines(_FOLDER / f"{name}.jsonl"), name)
    return Recorded(accelerator.name, run, setup, blocks)


def _lines(file: Path) -> Iterator[dict[str, object]]:
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)
