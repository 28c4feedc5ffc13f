"""The same deployment has the same fingerprint however it is written; each deciding part tells."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from evidence_kit import FLEET, MACHINE, lock, of_text, plain
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from headrace.evidence.deployment import endpoint_fingerprint, fingerprint_of
from headrace.evidence.fingerprint import (
    Hardware,
    differences,
    flag_values,
    workload_differences,
)
from headrace.fleet.load import load_fleet

SHUFFLES = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def shuffled(value: Any, order: Callable[[list[Any]], list[Any]]) -> Any:
    if isinstance(value, dict):
        return {key: shuffled(value[key], order) for key in order(list(value))}
    return value


@SHUFFLES
@given(data=st.data())
def test_order_white_space_and_comments_decide_nothing(tmp_path: Path, data: st.DataObject) -> None:
    plain_data = YAML(typ="safe").load(FLEET)
    mixed = shuffled(plain_data, lambda keys: data.draw(st.permutations(keys)))
    yaml, out = YAML(), io.StringIO()
    yaml.indent(mapping=data.draw(st.integers(1, 6)))
    yaml.dump(mixed, out)
    every = data.draw(st.integers(1, 4))
    lines = out.getvalue().splitlines()
    text = "\n".join(
        f"{line}   # said {n}" if n % every == 0 else line for n, line in enumerate(lines)
    )
    assert of_text(tmp_path, text) == of_text(tmp_path)
    assert of_text(tmp_path, text).key == of_text(tmp_path).key


DECIDING = [
    ("hf://o/m@main", "hf://o/m@v2", "nothing: the lock file has the same bytes"),
    ("version: 0.32.0", "version: 0.31.0", "engine vllm 0.32.0 -> vllm 0.31.0"),
    ("max_num_seqs: 16", "max_num_seqs: 32", "max_num_seqs 16 -> 32"),
    ("max_model_len: 4096", "max_model_len: 2048", "max_model_len 4096 -> 2048"),
    ("max_model_len: 4096", "max_model_len: auto", "max_model_len 4096 -> auto"),
    ("quantization: fp8", "price: {input: 3}", "quantization fp8 -> as stored"),
    ("quantization: fp8", "quantization: fp8\n    tensor_parallel: 2", "hardware 1 x H100 -> 2 x H100; tensor_parallel 1 -> 2"),
    ("enable-prefix-caching: true", "enable-prefix-caching: false", "engine.flags.enable-prefix-caching true -> false"),
    ("enable-prefix-caching: true, ", "", "engine.flags.enable-prefix-caching true -> unset"),
    ("enable-prefix-caching", "enable_prefix_caching", "nothing: another spelling"),
    ('OMP_NUM_THREADS: "2"', 'OMP_NUM_THREADS: "4"', "engine.env.OMP_NUM_THREADS 2 -> 4"),
    ("product: H100", "product: H200", "hardware 1 x H100 -> 1 x H200"),
    ("product: H100", "product: nvidia-h100-80gb-hbm3", "nothing: another name of it"),
    ("product: H100", "product: H100, hourly_price: 3", "nothing: prices decide no speed"),
    ("kind: gpu", "kind: emulated", "hardware 1 x H100 -> engine twins for 1 x H100 (ttft 50ms, tpot 20ms, prefill 0ms, start 1s, 46592 KV tokens); weights sha256 e3be42c5b8ccdd85 -> hf://o/m@main"),
    ("max_model_len: 4096", "kv_cache: 2GiB\n    max_model_len: 4096", "kv_cache unset -> 2 GiB"),
    ("max_model_len: 4096", "scaling: {max: 3}\n    max_model_len: 4096", "nothing: replicas"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "said"), DECIDING)
def test_what_decides_and_what_does_not(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in FLEET
    was, now = of_text(tmp_path), of_text(tmp_path, FLEET.replace(old, new))
    if said.startswith("nothing"):
        assert (differences(was, now), now.key) == ((), was.key)
    else:
        assert "; ".join(differences(was, now)) == said
        assert now.key != was.key


def test_other_bytes_decide_whatever_their_name(tmp_path: Path) -> None:
    was, now = of_text(tmp_path), of_text(tmp_path, sha256="b" * 64)
    (said,) = differences(was, now)
    assert said.startswith("weights sha256 ")
    assert now.key != was.key


@pytest.mark.parametrize("field", ["weights", "checksum", "quantization", "engine", "version"])
def test_each_field_decides(field: str) -> None:
    assert plain(**{field: "x1"}).key != plain(**{field: "x2"}).key


HARDWARE = {"kind": "gpu", "name": "L4", "count": 2}
CPU = {"kind": "cpu", "name": "EPYC", "cores": 4.0, "memory": 2**35}


@pytest.mark.parametrize(
    ("base", "change"),
    [
        *[(HARDWARE, {"kind": "emulated"}), (HARDWARE, {"name": "T4"}), (HARDWARE, {"count": 1})],
        *[(CPU, {"name": "Xeon"}), (CPU, {"cores": 2.0}), (CPU, {"memory": 2**34})],
        ({"kind": "emulated"}, {"pace": "ttft 1s"}),
    ],
)
def test_each_part_of_the_hardware_decides(base: dict[str, Any], change: dict[str, Any]) -> None:
    one, other = plain(hardware=Hardware(**base)), plain(hardware=Hardware(**base | change))
    assert one.key != other.key
    assert len(differences(one, other)) == 1


def test_what_measured_decides_nothing() -> None:
    assert plain(headrace="0.1.0").key == plain(headrace="0.2.0").key


def test_a_workload_is_told_apart_and_its_seed_is_chance() -> None:
    asked = {"load": {"rate": 2.0, "arrivals": "poisson"}, "seed": 1, "shapes": [["a", 1]]}
    one, other = (plain(workload=flag_values(asked | {"seed": seed})) for seed in (1, 2))
    faster = plain(workload=flag_values(asked | {"load": {"rate": 4, "arrivals": "poisson"}}))
    assert one.workload_key == other.workload_key
    assert one.key == faster.key
    assert workload_differences(one, faster) == ("load.rate 2 -> 4",)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": "16"}, {"a": 16.0}),
        ({"a": '{"method": "ngram",  "n": 2}'}, {"a": '{ "n":2,"method":"ngram"}'}),
        ({"a": {"b": 1, "c": None}}, {"a.b": 1}),
        ({"a": " x "}, {"a": "x"}),
    ],
)
def test_one_spelling_a_value(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert flag_values(one) == flag_values(other)


@given(
    st.dictionaries(
        st.text(max_size=8),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
            max_leaves=5,
        ),
        max_size=4,
    )
)  # fmt: skip
def test_normalised_values_are_scalars_and_stay_as_they_are(values: dict[str, Any]) -> None:
    once = flag_values(values)
    assert all(isinstance(value, str | int | float | bool) for value in once.values())
    assert flag_values(once) == once
    assert list(once) == sorted(once)


def test_true_and_one_are_not_the_same() -> None:
    assert plain(flags={"x": True}).key != plain(flags={"x": 1}).key


def test_a_cpu_is_this_machines_or_any(tmp_path: Path) -> None:
    file = tmp_path / "fleet.yaml"
    file.write_text(FLEET.replace("kind: gpu, product: H100", "kind: cpu, cores: 1"), "utf-8")
    here = fingerprint_of(load_fleet(file).fleet, "d", lock(), MACHINE)
    assert (here.hardware.cores, here.hardware.memory) == (1.0, 24 * 2**30)
    elsewhere = msgspec.structs.replace(here, hardware=Hardware(**CPU))
    assert here.key != elsewhere.key
    assert here.anywhere().key == elsewhere.anywhere().key
    gpu = plain(hardware=Hardware(**HARDWARE))
    assert gpu.anywhere() == gpu


def test_an_endpoint_of_others_says_what_nobody_knows() -> None:
    one = endpoint_fingerprint("gpt-x", {"rate": 1})
    assert one.unknown == ("weights", "engine", "hardware")
    assert one.key != endpoint_fingerprint("gpt-y").key
