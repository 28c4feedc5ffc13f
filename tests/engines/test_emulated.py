"""A twin in place of vLLM: another command, everything else as the engine it stands in for."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from headrace.engines.base import LoraAdapter, Placement, Resume
from headrace.engines.emulated import FAULTS, Emulated
from headrace.engines.vllm import Vllm
from headrace.fleet.types import Deployment, Hardware

HARDWARE = Hardware.model_validate(
    {"kind": "emulated", "ttft": "150ms", "tpot": "20ms", "start": "2s"}
)
PLACEMENT = Placement(
    python=Path("/not/used"),
    model_path=Path("/nowhere"),
    served_names=("chat", "chat-large"),
    host="127.0.0.1",
    port=4711,
    cores=(0,),
)


def deployment(**fields: Any) -> Deployment:
    return Deployment.model_validate({"model": "m", "hardware": "h", **fields})


def test_the_command_of_a_twin() -> None:
    given = deployment(max_num_seqs=8, max_model_len=4096, lifecycle={"drain": "1500ms"})
    launch = Emulated(Vllm("0.32.0")).launch(given, HARDWARE, PLACEMENT)
    assert list(launch.argv) == [
        *(sys.executable, "-m", "headrace.emulation", "--engine", "vllm"),
        *("--engine-version", "0.32.0", "--host", "127.0.0.1"),
        *("--model", "chat", "chat-large", "--port", "4711", "--ttft", "0.15", "--tpot", "0.02"),
        *("--prefill", "0", "--kv-tokens", "46592", "--startup", "2"),
        *("--slots", "8", "--max-model-len", "4096"),
        *("--enable-prompt-tokens-details", "--shutdown-timeout", "2"),
    ]
    assert launch.env == {}
    assert launch.reasons["--slots"] == "max_num_seqs"


def test_a_twin_is_told_its_adapters_by_name() -> None:
    adapters = (LoraAdapter("pirate", Path("/nowhere"), 8), LoraAdapter("poet", Path("/x"), 8))
    place = replace(PLACEMENT, adapters=adapters)
    argv = Emulated(Vllm("0.32.0")).launch(deployment(), HARDWARE, place).argv
    found = [argv[at + 1] for at, flag in enumerate(argv) if flag == "--adapter"]
    assert found == ["pirate", "poet"]
    assert "--max-loras" not in argv
    few = deployment(
        adapters={"pirate": {"weights": "file:///p"}}, engine={"flags": {"max-loras": 1}}
    )
    argv = Emulated(Vllm("0.32.0")).launch(few, HARDWARE, place).argv
    assert argv[argv.index("--max-loras") + 1] == "1"


def test_a_version_that_cannot_drain_is_not_told_to() -> None:
    launch = Emulated(Vllm("0.10.2")).launch(deployment(), HARDWARE, PLACEMENT)
    assert "--shutdown-timeout" not in launch.argv


def test_a_deployment_that_embeds_has_twins_that_embed() -> None:
    given = deployment(engine={"flags": {"runner": "pooling"}})
    assert Emulated(Vllm("0.32.0")).launch(given, HARDWARE, PLACEMENT).argv[-1] == "--embeds"


def test_faults_from_the_file_reach_the_twin_and_nothing_else_does() -> None:
    env = {FAULTS: '{"wrong": true}', "OMP_NUM_THREADS": "2"}
    launch = Emulated(Vllm("0.32.0")).launch(deployment(engine={"env": env}), HARDWARE, PLACEMENT)
    assert launch.env == {"HEADRACE_EMULATE": '{"wrong": true}'}


@pytest.mark.parametrize("version", ["0.8.5", "0.10.2", "0.32.0"])
def test_a_twin_is_known_as_its_engine(version: str) -> None:
    real, twin = Vllm(version), Emulated(Vllm(version))
    assert (twin.name, twin.version) == ("vllm", version)
    assert twin.metric_sources() == real.metric_sources()
    assert twin.stream_usage
    assert twin.resume == Resume(chat=True, token_ids=version != "0.8.5")


def test_what_the_real_engine_could_not_do_is_a_problem_of_its_twin() -> None:
    given = deployment(engine={"flags": {"swap-space": 4}})
    (problem,) = Emulated(Vllm("0.32.0")).problems(given, HARDWARE)
    assert problem[0] == ("engine", "flags", "swap-space")


def test_a_twin_needs_no_kv_cache_size() -> None:
    assert list(Emulated(Vllm("0.32.0")).problems(deployment(), HARDWARE)) == []
