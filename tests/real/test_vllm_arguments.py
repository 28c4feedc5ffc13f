"""The command of vLLM's container against the parser of real vLLM 0.32.0; no engine is started."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from headrace.engines.base import LoraAdapter
from headrace.engines.container import Container, Spot
from headrace.engines.vllm import Vllm
from headrace.fleet.types import Deployment, Hardware

PARSE = """
import json, sys
from vllm.entrypoints.cli.serve import ServeSubcommand
from vllm.utils.argparse_utils import FlexibleArgumentParser
parser = FlexibleArgumentParser()
ServeSubcommand().subparser_init(parser.add_subparsers())
for line in json.load(sys.stdin):
    print("PARSED", json.dumps(vars(parser.parse_args(line)), default=str))
"""
"""Reads command lines from standard input and says what `vllm serve` makes of each."""
ADAPTERS = (LoraAdapter("pirate", Path("/l/p"), 8), LoraAdapter("poet", Path("/l/q"), 12))


def made(spot: Spot, **fields: Any) -> Container:
    wanted = Deployment.model_validate({"model": "m", "hardware": "h", **fields})
    hardware = Hardware(kind="gpu", nodes=spot.nodes, per_node=8)
    assert not list(Vllm("0.32.0").problems(wanted, hardware))
    return Vllm("0.32.0").container(wanted, hardware, spot)


def parsed(python: Path, *containers: Container) -> list[dict[str, Any]]:
    lines = [[*one.command[1:], *one.args] for one in containers]
    quiet = {"VLLM_LOGGING_LEVEL": "ERROR", "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [python, "-c", PARSE],
        input=json.dumps(lines),
        env={**os.environ, **quiet},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    said = [line for line in done.stdout.splitlines() if line.startswith("PARSED ")]
    return [json.loads(line.removeprefix("PARSED ")) for line in said]


def test_real_vllm_takes_every_argument_and_reads_what_was_meant(vllm_python: Path) -> None:
    plain = made(
        Spot("/models/m", ("chat", "large"), adapters=ADAPTERS),
        max_model_len=8192,
        max_num_seqs=64,
        max_num_batched_tokens=4096,
        gpu_memory_utilization=0.9,
        tensor_parallel=2,
        quantization="fp8",
        lifecycle={"drain": "45s"},
        engine={"flags": {"enable-prefix-caching": False, "stream-interval": 2}},
    )
    worker = made(
        Spot("/models/m", ("chat",), nodes=2, leader="leader.svc", rank="1", worker=True),
        tensor_parallel=8,
        pipeline_parallel=2,
    )
    first, second = parsed(vllm_python, plain, worker)
    wanted = {
        "model_tag": "/models/m",
        "served_model_name": ["chat", "large"],
        "host": "0.0.0.0",  # noqa: S104 - in a Pod
        "port": 8000,
        "max_model_len": 8192,
        "max_num_seqs": 64,
        "max_num_batched_tokens": 4096,
        "gpu_memory_utilization": 0.9,
        "tensor_parallel_size": 2,
        "quantization": "fp8",
        "shutdown_timeout": 45,
        "enable_prefix_caching": False,
        "stream_interval": 2,
        "enable_lora": True,
        "max_lora_rank": 16,
        "headless": False,
    }
    assert {name: first[name] for name in wanted} == wanted
    over = {"nnodes": 2, "node_rank": 1, "master_addr": "leader.svc", "headless": True}
    assert {name: second[name] for name in over} == over
    assert (second["tensor_parallel_size"], second["pipeline_parallel_size"]) == (8, 2)
