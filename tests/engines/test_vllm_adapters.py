"""LoRA adapters on vLLM's command line."""

from dataclasses import replace
from pathlib import Path

import pytest

from headrace.engines.base import LoraAdapter, Placement
from headrace.engines.emulated import Emulated
from headrace.engines.vllm import Vllm
from headrace.engines.vllm_flags import flag_problems
from headrace.fleet.types import Deployment, Hardware

PLACE = Placement(Path("/python"), Path("/m"), ("chat",), "127.0.0.1", 4001, (0,))


def arguments(*adapters: LoraAdapter, version: str = "0.32.0", **flags: int) -> list[str]:
    fields = {"model": "m", "hardware": "h", "kv_cache": "1GiB", "engine": {"flags": flags}}
    deployment = Deployment.model_validate(fields)
    place = replace(PLACE, adapters=adapters)
    return list(Vllm(version).launch(deployment, Hardware(kind="cpu"), place).argv)


def value(argv: list[str], flag: str) -> str:
    assert argv.count(flag) == 1
    return argv[argv.index(flag) + 1]


def test_without_adapters_there_are_no_flags() -> None:
    assert [one for one in arguments() if "lora" in one] == []


@pytest.mark.parametrize("version", ["0.8.5", "0.32.0"])
def test_all_adapters_are_named_and_have_room(version: str) -> None:
    pirate, poet = LoraAdapter("pirate", Path("/a/1"), 4), LoraAdapter("poet", Path("/a/2"), 16)
    argv = arguments(pirate, poet, version=version)
    assert argv.count("--enable-lora") == 1
    assert value(argv, "--max-loras") == "2"
    assert value(argv, "--max-lora-rank") == "16"
    at = argv.index("--lora-modules")
    assert argv[at + 1 :] == ["pirate=/a/1", "poet=/a/2"]


@pytest.mark.parametrize(
    ("rank", "reserved"), [(1, "8"), (8, "8"), (9, "16"), (64, "64"), (257, "320"), (600, "600")]
)
def test_the_rank_is_rounded_up_to_one_that_vllm_takes(rank: int, reserved: str) -> None:
    """Those of MaxLoRARanks in vLLM's config/lora.py; a larger one is vLLM's to refuse."""
    assert value(arguments(LoraAdapter("a", Path("/a"), rank)), "--max-lora-rank") == reserved


def test_fewer_may_share_a_batch_if_the_file_says_so() -> None:
    one, two = LoraAdapter("a", Path("/a"), 8), LoraAdapter("b", Path("/b"), 8)
    assert value(arguments(one, two, **{"max-loras": 1}), "--max-loras") == "1"


@pytest.mark.parametrize(
    ("flags", "room"), [({}, None), ({"max-loras": 2}, 2), ({"max_loras": "3"}, 3)]
)
def test_the_gateway_hears_how_many_have_room(flags: dict[str, object], room: int | None) -> None:
    fields = {"model": "m", "hardware": "h", "engine": {"flags": flags}}
    bare = Deployment.model_validate(fields)
    given = Deployment.model_validate(fields | {"adapters": {"a": {"weights": "file:///a"}}})
    for engine in (Vllm("0.32.0"), Emulated(Vllm("0.32.0"))):
        assert engine.adapter_room(given) == room
        assert engine.adapter_room(bare) is None


@pytest.mark.parametrize("flag", ["enable-lora", "lora_modules", "max-lora-rank"])
def test_flags_that_headrace_sets_are_refused(flag: str) -> None:
    ((_, message),) = flag_problems({flag: 8}, "0.32.0")
    assert "from adapters; set that field" in message
