"""Every kind of mistake in a fleet file is named with its file, line and field."""

from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.fleet.load import load_fleet
from headrace.fleet.problems import FleetError

EXAMPLES = Path(__file__).parents[2] / "examples"

GOOD = dedent(
    """\
    fleet: test
    models:
      small: {weights: "file:///models/small"}
    hardware:
      box: {kind: cpu}
    deployments:
      chat:
        model: small
        hardware: box
        engine: {name: vllm, version: 0.32.0}
        kv_cache: 1GiB
        scaling:
          min: 1
          max: 2
        lifecycle: {drain: 60s, grace: 90s}
    routes:
      all:
        match: {model: [small]}
        deployment: chat
    """
)


def problems_of(path: Path, text: str) -> list[str]:
    file = path / "fleet.yaml"
    file.write_text(text)
    with pytest.raises(FleetError) as caught:
        load_fleet(file)
    prefix = f"{file}:"
    return [str(problem).removeprefix(prefix) for problem in caught.value.problems]


def test_a_good_file_has_typed_values(tmp_path: Path) -> None:
    file = tmp_path / "fleet.yaml"
    file.write_text(GOOD)
    deployment = load_fleet(file).fleet.deployments["chat"]
    assert deployment.kv_cache == 1024**3
    assert deployment.lifecycle.drain == 60.0
    assert deployment.scaling.max == 2


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.name)
def test_the_examples_are_good(example: Path) -> None:
    load_fleet(example)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("engine: {name", "engin: {name", "10: deployments.chat.engin: unknown key; did you mean 'engine'?"),
        ("model: small", "model: smal", "8: deployments.chat.model: no model is named 'smal'; did you mean 'small'?"),
        ("hardware: box", "hardware: bux", "9: deployments.chat.hardware: no hardware is named 'bux'; did you mean 'box'?"),
        ("deployment: chat", "deployment: chta", "19: routes.all.deployment: no deployment is named 'chta'; did you mean 'chat'?"),
        ("min: 1", "min: 3", "13: deployments.chat.scaling.min: min 3 is greater than max 2"),
        ("drain: 60s", "drain: 90s", "15: deployments.chat.lifecycle.drain: drain 90s is not shorter than grace 90s"),
        ("drain: 60s", "drain: 60", "15: deployments.chat.lifecycle.drain: expected a duration with its unit"),
        ("kv_cache: 1GiB", "kv_cache: 1", "11: deployments.chat.kv_cache: expected a size with its unit"),
        ("kind: cpu", "kind: cqu", "5: hardware.box.kind: input should be 'cpu', 'gpu' or 'emulated'; did you mean 'cpu'?"),
        ("name: vllm", "name: vlm", "10: deployments.chat.engine.name: input should be 'vllm'"),
        ("min: 1", "initial: 3", "13: deployments.chat.scaling.initial: initial 3 is not between min 1 and max 2"),
        ("min: 1", "mni: 1", "13: deployments.chat.scaling.mni: unknown key; did you mean 'min'?"),
        ("max: 2", "max: two", "14: deployments.chat.scaling.max: input should be a valid integer"),
        ("file:///models/small", "ftp://x/y", "3: models.small.weights: "),
        ("kv_cache: 1GiB", "gpu_memory_utilization: 0.9", "11: deployments.chat.gpu_memory_utilization: is for GPUs"),
        ("fleet: test", "fleet: Test_1", "1: fleet: "),
        ("    match: {model: [small]}\n", "", "17: routes.all.match: is missing"),
        ("version: 0.32.0}", "version: 0.32.0, env: {HF_TOKEN: x}}", "10: deployments.chat.engine.env.HF_TOKEN: looks like a secret"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_by_line_and_field(
    tmp_path: Path, old: str, new: str, expected: str
) -> None:
    assert old in GOOD
    found = problems_of(tmp_path, GOOD.replace(old, new))
    assert any(problem.startswith(expected) for problem in found), found


def test_all_problems_are_listed_in_the_order_of_the_file(tmp_path: Path) -> None:
    found = problems_of(
        tmp_path, GOOD.replace("min: 1", "min: 3").replace("model: small", "model: x")
    )
    assert [problem.split(":")[0] for problem in found] == ["8", "13"]


def test_scaling_contradictions(tmp_path: Path) -> None:
    never = "max: 2\n      triggers: [{signal: waiting, target: 2, activation: 5}]"
    assert "a loaded deployment" in problems_of(tmp_path, GOOD.replace("max: 2", never))[0]
    asleep = "max: 2\n      triggers: [{signal: running, target: 2}]"
    text = GOOD.replace("max: 2", asleep).replace("min: 1", "min: 0")
    assert "can never wake it" in problems_of(tmp_path, text)[0]


def test_two_routes_may_claim_an_alias_if_the_first_leaves_something(tmp_path: Path) -> None:
    second = GOOD + "  again:\n    match: {model: [small]}\n    deployment: chat\n"
    assert problems_of(tmp_path, second) == [
        (
            "21: routes.again.match: no request comes here: 'all' before takes all that match; put "
            "this route first, or remove it"
        )
    ]
    file = tmp_path / "fleet.yaml"
    file.write_text(second.replace("model: [small]", "model: [small], stream: true", 1))
    assert list(load_fleet(file).fleet.routes) == ["all", "again"]


def test_a_deployment_without_a_route_is_a_mistake(tmp_path: Path) -> None:
    extra = GOOD.replace("routes:", "  lost: {model: small, hardware: box}\nroutes:")
    assert problems_of(tmp_path, extra) == [
        "16: deployments.lost: no route leads here, so it would never serve; add one or remove it"
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("fleet: a\nfleet: b\n", "not valid YAML: found duplicate key"),
        ("fleet: [a\n", "not valid YAML"),
        ("- a\n", "expected keys such as fleet"),
        ("", "expected keys such as fleet"),
        ("\x00", "not valid YAML"),
        ("x: " + "[" * 3000, "not valid YAML"),
    ],
)
def test_what_is_not_a_fleet_file(tmp_path: Path, text: str, expected: str) -> None:
    assert expected in problems_of(tmp_path, text)[0]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FleetError, match=r"nothing\.yaml: cannot be read: No such file"):
        load_fleet(tmp_path / "nothing.yaml")


def test_aliases_cannot_unfold_without_bound(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    for level in range(1, 9):
        items = ", ".join([f"*a{level - 1}"] * 10)
        lines.append(f"a{level}: &a{level} [{items}]")
    assert "100,000 values" in problems_of(tmp_path, "\n".join(lines))[0]


@given(st.one_of(st.binary(max_size=300), st.text(max_size=300).map(str.encode)))
def test_no_input_escapes_as_another_error(
    tmp_path_factory: pytest.TempPathFactory, raw: bytes
) -> None:
    file = tmp_path_factory.mktemp("fuzz") / "fleet.yaml"
    file.write_bytes(raw)
    with pytest.raises(FleetError):
        load_fleet(file)


@given(position=st.integers(0, len(GOOD) - 1), junk=st.text(max_size=3))
def test_a_damaged_good_file_loads_or_is_refused(
    tmp_path_factory: pytest.TempPathFactory, position: int, junk: str
) -> None:
    file = tmp_path_factory.mktemp("fuzz") / "fleet.yaml"
    file.write_bytes((GOOD[:position] + junk + GOOD[position + 1 :]).encode(errors="replace"))
    try:
        load_fleet(file)
    except FleetError as error:
        assert error.problems  # noqa: PT017 - either outcome is right; any other exception fails
