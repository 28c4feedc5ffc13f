"""What a person sees of each verb: exit status, sentences, and no traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

EXAMPLE = Path(__file__).parents[2] / "examples" / "laptop.yaml"


def headrace(*arguments: str, state: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "headrace", *arguments],
        env={**os.environ, "HEADRACE_STATE": str(state), "HEADRACE_CACHE": str(state / "cache")},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_validate_says_that_a_good_file_is_good(tmp_path: Path) -> None:
    done = headrace("validate", str(EXAMPLE), state=tmp_path)
    assert done.returncode == 0
    assert done.stdout == f"{EXAMPLE}: good: 1 model, 1 deployment, 1 route\n"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("max: 2", "maximum: 2", "unknown key; did you mean 'max'?"),
        ("enable-auto-tool-choice: true", "swap-space: 4", "swap-space"),
        (
            "enable-auto-tool-choice: true",
            "enable-auto-tool-chioce: true",
            "enable-auto-tool-choice",
        ),
        ("enable-auto-tool-choice: true", "max-model-len: 9", "max_model_len"),
    ],
)
def test_validate_names_file_line_and_way_out(
    tmp_path: Path, old: str, new: str, expected: str
) -> None:
    text = EXAMPLE.read_text()
    line = next(number for number, row in enumerate(text.splitlines(), 1) if old in row)
    file = tmp_path / "fleet.yaml"
    file.write_text(text.replace(old, new))
    done = headrace("validate", str(file), state=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(f"headrace: {file}:{line}: ")
    assert expected in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "expected"),
    [
        (["validate", "nothing.yaml"], 1, "headrace: nothing.yaml: cannot be read: No such file"),
        (["validat", "x"], 2, "No such command 'validat'"),
        (["up"], 2, "Missing argument"),
        (["up", "nothing.yaml"], 1, "cannot be read"),
        (["status"], 1, "headrace: no fleet is up; start one with `headrace up FILE`"),
        (["down"], 1, "no fleet is up"),
        (["scale", "x", "many"], 2, "neither a number nor auto"),
        (["request", "none"], 1, "no request 'none'"),
        (["weights", "verify", str(EXAMPLE)], 1, ""),
    ],
)
def test_what_goes_wrong_is_a_sentence(
    tmp_path: Path, arguments: list[str], status: int, expected: str
) -> None:
    done = headrace(*arguments, state=tmp_path)
    assert done.returncode == status
    assert expected in done.stderr
    assert "Traceback" not in done.stderr


def test_the_schema_accepts_the_example_and_finds_its_mistakes(tmp_path: Path) -> None:
    schema = json.loads(headrace("schema", state=tmp_path).stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    example = json.loads(json.dumps(YAML(typ="safe").load(EXAMPLE.read_text())))
    assert list(validator.iter_errors(example)) == []
    example["deployments"]["smollm2"]["kv_cache"] = 5
    example["routes"]["chat"]["mach"] = {}
    assert len(list(validator.iter_errors(example))) == 2


def test_list_of_an_empty_machine(tmp_path: Path) -> None:
    done = headrace("weights", "list", state=tmp_path)
    assert done.returncode == 0
    assert "no weights in" in done.stdout


def test_the_reference_is_the_one_that_the_types_make(tmp_path: Path) -> None:
    page = Path(__file__).parents[2] / "docs" / "reference" / "fleet.md"
    made = headrace("schema", "--markdown", state=tmp_path).stdout
    assert page.read_text() == made, "run `headrace schema --markdown > docs/reference/fleet.md`"
