"""What holds for each of the five engines, whatever a fleet file says."""

from typing import Any, get_args

import pytest
from container_kit import GPU, SPOT, container, deployment, problems
from hypothesis import given
from hypothesis import strategies as st

from headrace.engines.container import Container
from headrace.engines.emulated import Emulated
from headrace.engines.metrics import CANONICAL
from headrace.engines.named import engine_named
from headrace.fleet.types import ENGINE_VERSIONS, EngineName, Hardware

NAMES: tuple[EngineName, ...] = get_args(EngineName)
VERSIONS: dict[EngineName, list[str]] = {
    "vllm": ["0.6.5", "0.8.5", "0.10.2", "0.11.2", "0.18.1", "0.32.0", "0.33.0", "1.0"],
    "tgi": ["1.4", "2.0.4", "2.4", "3.3.7"],
    "triton": ["2.51.0", "25.02", "26.07"],
    "trtllm": ["0.18.2", "1.1", "1.2.1"],
    "sglang": ["0.3.6", "0.4.0", "0.4.9", "0.5.23"],
}
EMULATED = Hardware(kind="emulated")
flags = st.dictionaries(
    st.sampled_from(["seed", "host", "max-num-seqs", "kv_cache_config.dtype", "a.b", "-x"]),
    st.one_of(st.booleans(), st.integers(-3, 3), st.text(max_size=5)),
    max_size=3,
)
deployments = st.fixed_dictionaries(
    {},
    optional={
        "max_model_len": st.integers(16, 10**6),
        "max_num_seqs": st.integers(1, 65536),
        "max_num_batched_tokens": st.integers(1, 10**6),
        "kv_cache": st.integers(1, 2**20).map(lambda mib: f"{mib}MiB"),
        "gpu_memory_utilization": st.floats(0.01, 1),
        "tensor_parallel": st.integers(1, 64),
        "pipeline_parallel": st.integers(1, 64),
        "quantization": st.sampled_from(["fp8", "awq", "gguf", "nonsense"]),
        "adapters": st.just({"a": {"weights": "file:///a"}}),
        "lifecycle": st.integers(0, 10**5).map(lambda s: {"startup": f"{s}s"}),
    },
)


@st.composite
def engines(draw: st.DrawFn) -> tuple[EngineName, str]:
    name = draw(st.sampled_from(NAMES))
    return name, draw(st.sampled_from(VERSIONS[name]))


@given(
    engines(),
    deployments,
    flags,
    st.sampled_from(["cpu", "gpu", "emulated"]),
    st.integers(1, 4),
)
def test_any_deployment_becomes_a_container_and_problems_are_sentences(
    engine: tuple[EngineName, str], fields: dict[str, Any], flags: Any, kind: Any, nodes: int
) -> None:
    name, version = engine
    hardware = Hardware(kind=kind, nodes=nodes)
    fields = {**fields, "engine": {"name": name, "version": version, "flags": flags}}
    found = problems(name, version, hardware, **fields)
    assert all(len(message) > 10 and "\n" not in message for message in found.values())
    made = container(name, version, SPOT, hardware, **fields)
    holds(made)
    if kind == "emulated":
        twin = Emulated(engine_named(name, version))
        holds(twin.container(deployment(**fields), hardware, SPOT))


def holds(made: Container) -> None:
    """Check what is true of each container."""
    assert made.image.rpartition(":")[2] not in {"", "latest"}
    assert "http" in made.ports
    probes = (made.startup, made.readiness, made.liveness)
    assert all(p.port in made.ports and p.timeout >= 1 and p.failures >= 1 for p in probes)
    assert all(p.means for p in probes)
    assert all(isinstance(part, str) for part in (*made.command, *made.args))
    assert all(path.startswith("/") for path in (*made.files, *made.writable, made.metrics_path))
    assert made.env.keys() <= made.reasons.keys() | {"HEADRACE_EMULATE"}


@pytest.mark.parametrize("name", NAMES)
def test_each_flag_has_a_reason(name: EngineName) -> None:
    made = container(name, ENGINE_VERSIONS[name], tensor_parallel=2, max_model_len=4096)
    shown = {part for part in made.args if part.startswith("--")} - {"--served-model-name"}
    assert shown <= made.reasons.keys()


@pytest.mark.parametrize("name", NAMES)
def test_the_version_of_a_file_that_names_none_has_no_problem(name: EngineName) -> None:
    engine = engine_named(name, ENGINE_VERSIONS[name])
    assert (engine.name, engine.version) == (name, ENGINE_VERSIONS[name])
    assert not problems(name, ENGINE_VERSIONS[name], engine={"name": name})
    assert deployment(engine={"name": name}).engine.version == ENGINE_VERSIONS[name]
    assert engine.metric_sources().keys() <= set(CANONICAL)


@pytest.mark.parametrize("name", NAMES)
def test_an_image_of_ones_own(name: EngineName) -> None:
    version, own = ENGINE_VERSIONS[name], "registry.example/llm:5"
    assert container(name, version, engine={"name": name, "image": own}).image == own
    for image, words in [("a/b", "no tag"), ("a/b:latest", "latest"), ("host:5000/b", "no tag")]:
        found = problems(name, version, engine={"name": name, "image": image})
        assert words in found["engine.image"]
    for image in ("a/b:1", "a/b@sha256:" + "0" * 64, "host:5000/b:v1.0-x"):
        assert not problems(name, version, engine={"name": name, "image": image})


@pytest.mark.parametrize("name", [name for name in NAMES if name != "vllm"])
def test_only_vllm_runs_on_cpus(name: EngineName) -> None:
    found = problems(name, ENGINE_VERSIONS[name], Hardware(kind="cpu"), kv_cache="1GiB")
    assert "vllm" in found["engine.name"]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_left_to_the_plan_cannot_be_rendered(name: EngineName) -> None:
    with pytest.raises(ValueError, match="max_num_seqs"):
        container(name, ENGINE_VERSIONS[name], max_num_seqs="auto")


@pytest.mark.parametrize("name", NAMES)
def test_a_twin_has_the_ports_and_probes_of_the_real_one(name: EngineName) -> None:
    real = engine_named(name, ENGINE_VERSIONS[name])
    given_ = deployment(engine={"name": name})
    twin, own = Emulated(real).container(given_, EMULATED, SPOT), real.container(given_, GPU, SPOT)
    assert twin.image.startswith("headrace:")
    assert (twin.ports, twin.readiness, twin.drain) == (own.ports, own.readiness, own.drain)
    assert twin.args[:2] == ("--engine", name)
    assert not twin.files
