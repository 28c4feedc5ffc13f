"""Two files as people see them, to be reviewed when they change: an engine, and how it scales.

`python tests/kubernetes/test_render_golden.py` writes them anew.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from render_kit import files

GOLDEN = Path(__file__).parent / "golden"
NAMES = ("20-d-engine.yaml", "22-d-scaling.yaml")


def _rendered(folder: Path) -> dict[str, str]:
    """Render a GPU that no catalogue knows, so that no plan's figures are in it."""
    made = files(
        folder,
        hardware="kind: gpu, product: Our-GPU",
        deployment="tensor_parallel: 2\n    max_num_seqs: 32\n    scaling: {min: 0, max: 2,"
        " triggers: [{signal: waiting, target: 5}, {signal: demand, target: 24}]}",
        route=", slo: {tpot: 50ms}",
    )
    return {one.path: one.text for one in made if one.path in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_it_reads_as_it_was_reviewed(tmp_path: Path, name: str) -> None:
    assert _rendered(tmp_path)[name] == (GOLDEN / name).read_text()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        for path, text in _rendered(Path(folder)).items():
            (GOLDEN / path).write_text(text)
