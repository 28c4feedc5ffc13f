"""A fleet of this machine's own vLLM, for a measurement: the example's, on another port."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.up import up

EXAMPLE = Path(__file__).parents[2] / "examples" / "laptop.yaml"
MODEL = "smollm2"
_START = 600.0
_CHANGES = {
    r"^fleet: laptop$": "fleet: measured",
    r"min: 0 .*$": "min: 1",
    r"max: 2$": "max: 1",
    r"port: 8080": "port: {port}, admin_port: 0",
    r"^    slo: .*\n": "",  # nothing is refused, however long it waits
}


@contextmanager
def fleet(folder: Path, port: int) -> Iterator[None]:
    """Run one replica behind a gateway on `port`, its files in `folder`, until left."""
    with up(_changed(port), folder, _START):
        yield


def _changed(port: int) -> str:
    text = EXAMPLE.read_text(encoding="utf-8")
    for pattern, new in _CHANGES.items():
        text, count = re.subn(pattern, new.format(port=port), text, flags=re.MULTILINE)
        if count != 1:
            raise ValueError(f"{EXAMPLE}: {pattern!r} is there {count} times, expected once")
    return text
