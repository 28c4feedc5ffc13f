"""Twins as processes, which end with the test."""

from collections.abc import Iterator

import pytest
from twin_outside import Twin


@pytest.fixture
def twins() -> Iterator[list[Twin]]:
    started: list[Twin] = []
    yield started
    for twin in started:
        twin.end()
