"""CPU seconds that the engine model takes for a whole trace."""

from __future__ import annotations

import csv
import time
from datetime import datetime
from pathlib import Path

import numpy as np

from bench.planning.recorded import Recorded
from headrace.capacity.batching import serve
from headrace.capacity.efficiency import UNCALIBRATED
from headrace.traffic.traffic import Traffic


def azure(file: Path) -> Traffic:
    """Read the Azure trace of 2023: time, prompt and answer of each request."""
    with file.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    # Seven digits of a second are one too many for datetime.
    times = [datetime.fromisoformat(row["TIMESTAMP"][:26]).timestamp() for row in rows]
    arrivals = np.array(times) - times[0]
    prompts = np.array([int(row["ContextTokens"]) for row in rows])
    outputs = np.array([int(row["GeneratedTokens"]) for row in rows])
    return Traffic(arrivals, prompts, outputs, file.name)


def batching(traffic: Traffic, one: Recorded) -> str:
    """Return how long one replica's batching takes."""
    began = time.process_time()
    served = serve(traffic, one.setup, UNCALIBRATED, one.pool)
    seconds = time.process_time() - began
    return (
        f"{traffic.source} on one {one.name}: {traffic.count:,} requests in {seconds:.2f} CPU s, "
        f"{traffic.count / seconds:,.0f} a second, {served.preempted:,} preemptions"
    )
