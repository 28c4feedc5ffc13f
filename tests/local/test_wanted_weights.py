"""Which weights a fleet needs, and which of them one deployment does (`weights pull -d`)."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.fleet.load import load_fleet
from headrace.local.wanted import wanted_weights

FLEET = """\
fleet: f
models:
  a: {weights: "hf://o/a@main"}
  b: {weights: "hf://o/b@main"}
hardware:
  gpu: {kind: gpu, product: H100}
  twins: {kind: emulated}
deployments:
  one: {model: a, hardware: gpu, adapters: {legal: {weights: "hf://o/legal@main"}}}
  two: {model: a, hardware: gpu}
  play: {model: b, hardware: twins}
routes:
  r: {match: {model: [m]}, variants: [{deployment: one, weight: 1}, {deployment: two, weight: 1},
      {deployment: play, weight: 1}]}
  legal: {match: {model: [legal]}, deployment: one}
"""


@pytest.mark.parametrize(
    ("deployment", "keys"),
    [(None, ["a", "one/legal"]), ("one", ["a", "one/legal"]), ("two", ["a"]), ("play", [])],
)
def test_wanted(tmp_path: Path, deployment: str | None, keys: list[str]) -> None:
    (tmp_path / "fleet.yaml").write_text(FLEET)
    fleet = load_fleet(tmp_path / "fleet.yaml").fleet
    assert [one.key for one in wanted_weights(fleet, deployment)] == keys
