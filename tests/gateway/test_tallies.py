"""What a scrape sees of our counters and histograms is what it would see of `prometheus_client`."""

from __future__ import annotations

import re

import prometheus_client
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest

from headrace.gateway.tallies import Counter, Histogram

BOUNDS = (0.001, 0.5, 1, 2.5, 600)
NAMES = ("route", "kind")
LABELS = st.tuples(st.sampled_from(["a", 'b"\\\n', ""]), st.sampled_from(["x", "ü"]))
VALUES = st.one_of(st.sampled_from(BOUNDS), st.floats(min_value=0, max_value=1e6))


def text(registry: CollectorRegistry) -> str:
    """The exposition, without times of creation, which no two have in common."""
    return re.sub(r"(?m)^(\w+_created\b.*) \S+$", r"\1", generate_latest(registry).decode())


@given(st.lists(st.tuples(LABELS, VALUES)))
def test_counters_read_as_those_of_the_client_library(
    added: list[tuple[tuple[str, str], float]],
) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    mine = Counter("n_total", "So many", NAMES)
    ours.register(mine)
    other = prometheus_client.Counter("n_total", "So many", NAMES, registry=theirs)
    for labels, value in added:
        mine.labels(*labels).inc(value)
        other.labels(*labels).inc(value)
    assert text(ours) == text(theirs)


@given(st.lists(st.tuples(LABELS, VALUES)))
def test_histograms_read_as_those_of_the_client_library(
    seen: list[tuple[tuple[str, str], float]],
) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    mine = Histogram("t_seconds", "So long", NAMES, BOUNDS)
    ours.register(mine)
    other = prometheus_client.Histogram(
        "t_seconds", "So long", NAMES, registry=theirs, buckets=BOUNDS
    )
    mine.labels("untouched", "")
    other.labels("untouched", "")
    for labels, value in seen:
        mine.labels(*labels).observe(value)
        other.labels(*labels).observe(value)
    assert text(ours) == text(theirs)
