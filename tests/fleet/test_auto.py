"""Fields that say `auto`: left open, filled in by name, allowed by the schema, never launched."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest
from pydantic import ValidationError
from ruamel.yaml import YAML

from headrace.engines.base import Placement
from headrace.engines.vllm import Vllm
from headrace.fleet.load import load_fleet
from headrace.fleet.problems import FleetError
from headrace.fleet.schema import fleet_schema
from headrace.fleet.types import Deployment, Hardware

NAMED = {"model": "m", "hardware": "h"}
EXAMPLE = Path(__file__).parents[2] / "examples" / "laptop.yaml"


def test_a_field_that_says_auto_is_open_and_keeps_its_default() -> None:
    made = Deployment.model_validate({**NAMED, "max_num_seqs": "auto", "max_model_len": "auto"})
    assert made.open == {"max_num_seqs", "max_model_len"}
    assert (made.max_num_seqs, made.max_model_len) == (64, None)


def test_what_is_filled_in_is_no_longer_open() -> None:
    made = Deployment.model_validate({**NAMED, "max_num_seqs": "auto", "kv_cache": "auto"})
    filled = made.filled({"max_num_seqs": 12})
    assert (filled.open, filled.max_num_seqs) == ({"kv_cache"}, 12)
    assert made.open == {"max_num_seqs", "kv_cache"}
    assert filled != made


def test_only_capacity_flags_may_be_open() -> None:
    with pytest.raises(ValidationError):
        Deployment.model_validate({**NAMED, "queue": "auto"})


def test_the_schema_allows_auto_where_the_types_do() -> None:
    data = YAML(typ="safe").load(EXAMPLE)
    data["deployments"]["smollm2"] |= {"max_num_seqs": "auto", "kv_cache": "auto"}
    jsonschema.validate(data, fleet_schema())
    data["deployments"]["smollm2"]["max_num_seqs"] = "automatic"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(data, fleet_schema())


def test_another_word_is_a_mistake_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "fleet.yaml"
    text = EXAMPLE.read_text().replace("max_num_seqs: 16 ", "max_num_seqs: automatic ")
    file.write_text(text)
    with pytest.raises(FleetError) as caught:
        load_fleet(file)
    line = 1 + text.splitlines().index(next(x for x in text.splitlines() if "automatic" in x))
    assert f"{file}:{line}" in str(caught.value)
    assert "automatic" in str(caught.value)


def test_an_open_field_is_never_launched() -> None:
    made = Deployment.model_validate({**NAMED, "kv_cache": "1GiB", "max_num_seqs": "auto"})
    place = Placement(Path("/p"), Path("/m"), ("m",), "127.0.0.1", 1, (0,))
    with pytest.raises(ValueError, match="max_num_seqs"):
        Vllm("0.32.0").launch(made, Hardware.model_validate({"kind": "cpu"}), place)
