"""Fits this machine's own vLLM under one load and predicts another one that the fit has not seen.

`python -m bench.planning.measure --out FOLDER` starts the example's fleet, measures the CPU, drives
both loads and keeps what it saw; with `--read` it fits the runs of an earlier call again.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from bench.fleet.client import Target
from bench.planning.cross import errors, values
from bench.planning.fleet import MODEL, fleet
from bench.planning.load import Load, drive
from headrace.capacity.calibration import calibrate, compare
from headrace.capacity.kv import CPU_BLOCK, kv_cache
from headrace.capacity.kv_pool import Pool
from headrace.capacity.measured_run import read_run
from headrace.capacity.served import Served
from headrace.capacity.setup import Setup
from headrace.hardware.accelerator import Accelerator
from headrace.hardware.measure_cpu import measure_cpu
from headrace.models.catalogue import known_model
from headrace.models.weight_bytes import weights_by_formula

WARM_UP = Load("warm-up", (0.5,), (20, 400), (16, 64), 20.0, seed=1)
FITTED = Load("fitted", (0.8,), (20, 300), (16, 64), 45.0, seed=2)
UNSEEN = Load("unseen", (0.3, 1.2), (100, 400), (8, 48), 45.0, seed=3)
"""Longer prompts, shorter answers, and bursts."""
ROUNDS = 4
"""The loads take turns, so that what else a machine does meanwhile slows both of them."""
KV_BYTES = 2**30


def setup(accelerator: Accelerator) -> Setup:
    """Return what examples/laptop.yaml says of its replica."""
    architecture = known_model("SmolLM2-135M")
    if architecture is None:
        raise LookupError("SmolLM2-135M is not in the catalogue of models")
    return Setup(
        architecture,
        weights_by_formula(architecture),
        accelerator,
        max_model_len=2048,
        max_num_seqs=16,
        max_num_batched_tokens=2048,
        kv_bytes=KV_BYTES,
        block=CPU_BLOCK,
    )


def measure(out: Path, port: int) -> None:
    """Record the CPU, then both loads, one file each."""
    out.mkdir(parents=True, exist_ok=True)
    for load in (FITTED, UNSEEN):
        (out / f"{load.name}.jsonl").unlink(missing_ok=True)
    # The best of some: what other processes take meanwhile is not the CPU's.
    cpu = max((measure_cpu() for _ in range(5)), key=lambda one: one.compute["bf16"])
    (out / "cpu.json").write_bytes(msgspec.json.encode(cpu))
    target = Target("127.0.0.1", port)
    with tempfile.TemporaryDirectory(prefix="hr") as folder, fleet(Path(folder), port):
        asyncio.run(drive(target, MODEL, WARM_UP))
        for turn in range(ROUNDS):
            for load in (FITTED, UNSEEN):
                drawn = replace(load, seed=load.seed + 10 * turn)
                lines = asyncio.run(drive(target, MODEL, drawn))
                with (out / f"{load.name}.jsonl").open("a", encoding="utf-8") as file:
                    file.writelines(json.dumps(line) + "\n" for line in lines)


def report(out: Path) -> None:
    """Print the fit, its error on its own run, and on the other one."""
    cpu = msgspec.json.decode((out / "cpu.json").read_bytes(), type=Accelerator)
    replica = setup(cpu)
    pool = Pool.of(kv_cache(replica, KV_BYTES))
    fitted, unseen = (_read(out / f"{load.name}.jsonl") for load in (FITTED, UNSEEN))
    efficiency = calibrate(fitted, replica, pool, f"vLLM 0.32 on {cpu.name}")
    print(f"{cpu.bandwidth / 1e9:.1f} GB/s, {cpu.compute['bf16'] / 1e9:.0f} GFLOP/s measured")
    print(values(efficiency))
    print(
        "| run | requests | TTFT p50 | TPOT p50 | error | TTFT p50 | TPOT p50 | E2E p50 | worst |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, run in (("fitted", fitted), ("unseen", unseen)):
        compared = compare(run, replica, pool, efficiency)
        ttft, tpot = compared.measured[1], compared.measured[5]
        print(
            f"| {name} | {run.traffic.count} | {ttft:.2f} s | {tpot * 1e3:.0f} ms "
            f"| {compared.error:.1%} | {errors(compared)} |"
        )


def _read(file: Path) -> Served:
    lines: list[dict[str, Any]] = [json.loads(line) for line in file.read_text().splitlines()]
    return read_run(lines, file.name)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure unless told to read, and report."""
    line = argparse.ArgumentParser(prog="python -m bench.planning.measure", description=__doc__)
    line.add_argument("--out", type=Path, default=Path(".bench/planning"))
    line.add_argument("--read", action="store_true", help="fit what is there, measure nothing")
    line.add_argument("--port", type=int, default=18_480)
    given = line.parse_args(arguments)
    if not given.read:
        measure(given.out, given.port)
    report(given.out)


if __name__ == "__main__":
    main()
