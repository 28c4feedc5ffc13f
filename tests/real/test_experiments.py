"""An experiment on real vLLM: continuous batching beats one request at a time, and nothing stays."""

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
from fleet_process import write_fleet

from headrace.evidence import store

KNOBS = ("requests=6", "size=6", "prompt=48", "output_p50=16", "output_p99=32", "repeats=1")
MARK = "HEADRACE_TESTED"
LONGEST = 500.0
"""Seconds; a quiet machine needs about 50, half of them to start."""


def test_batching_on_real_vllm(tmp_path: Path) -> None:
    file = write_fleet(tmp_path)
    command = [sys.executable, "-m", "headrace", "experiment", "batching", str(file), "--json"]
    sets = [part for knob in KNOBS for part in ("--set", knob)]
    result = subprocess.run(
        [*command, *sets, "-o", str(tmp_path / "out")],
        env={**os.environ, "HEADRACE_STATE": str(tmp_path / "s"), MARK: str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=LONGEST,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    finding = json.loads(result.stdout)
    rates = {one["way"]: one["run"]["requests"] for one in finding["points"]}
    # Six at once share each step of a decode that is bound by reading the weights.
    assert rates["continuous"] > 1.5 * rates["one at a time"]
    assert all(one["run"]["failed"] == 0 for one in finding["points"])
    assert all(one["run"]["output_mean"] >= 16 for one in finding["points"])
    assert all(one["predicted"]["requests"] > 0 for one in finding["points"])
    assert "continuous batching of 6 clients serves" in finding["conclusion"]["words"][0]
    (kept,) = store.load(file).results
    setting = kept.variants[0].fingerprint
    assert (setting.engine, setting.version, setting.emulated) == ("vllm", "0.32.0", False)
    assert setting.checksum
    left = [one for one in psutil.process_iter() if _is_of(one, tmp_path)]
    assert psutil.wait_procs(left, timeout=30)[1] == []


def _is_of(process: psutil.Process, folder: Path) -> bool:
    """Whether a process was started by our command: gateways and engines inherit the mark."""
    try:
        return process.environ().get(MARK) == str(folder)
    except (psutil.Error, OSError):
        return False
