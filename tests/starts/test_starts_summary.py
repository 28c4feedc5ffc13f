"""Percentiles of starts: numpy is the peer, and nothing unlike is counted together."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from starts_kit import a_start

from headrace.starts.start import in_order
from headrace.starts.summary import Spread, summaries

SECONDS = st.floats(min_value=0, max_value=1e5)


def test_no_start_has_no_percentile() -> None:
    with pytest.raises(ValueError, match="no start has been recorded"):
        Spread.of([])


def test_only_starts_that_got_ready_make_percentiles() -> None:
    starts = [
        a_start(0, phases={"import": 10.0, "load": 2.0}),
        a_start(1, phases={"import": 20.0, "load": 4.0}),
        a_start(2, outcome="failed", phases={"import": 900.0}, ended_in="import"),
        a_start(3, outcome="stopped", phases={"import": 1.0}, ended_in="import"),
    ]
    (found,) = summaries(starts)
    assert (found.ready, found.failed, found.stopped) == (2, 1, 1)
    assert found.lead == Spread(2, 18.0, 22.8, 23.88, 24.0)  # 12 and 24 s
    assert found.phases["load"] == Spread(2, 3.0, 3.8, 3.98, 4.0)


def test_what_could_not_start_at_all_is_counted() -> None:
    (found,) = summaries([a_start(0, outcome="failed", phases={"import": 3.0})])
    assert (found.ready, found.failed, found.lead, found.phases) == (0, 1, None, {})


@pytest.mark.parametrize(
    "other",
    [
        {"deployment": "code"},
        {"version": "0.33.0"},
        {"hardware": "H100"},
        {"weights": "ab"},
        {"runtime": "kubernetes"},
        {"emulated": True},
    ],
)
def test_starts_of_other_things_are_kept_apart(other: dict[str, object]) -> None:
    found = summaries([a_start(0), a_start(1, **other)])
    assert [one.ready for one in found] == [1, 1]


def test_the_newest_subject_of_a_deployment_comes_first() -> None:
    found = summaries([a_start(5, version="0.33.0"), a_start(1), a_start(9, deployment="b")])
    assert [(one.subject.deployment, one.subject.version) for one in found] == [
        ("b", "0.32.0"),
        ("chat", "0.33.0"),
        ("chat", "0.32.0"),
    ]


def test_one_machine_prepares_once_and_a_cluster_for_each_pod() -> None:
    phases = {"weights": 60.0, "import": 20.0, "load": 2.0}
    assert a_start(phases=phases).lead == 22.0
    assert a_start(phases=phases, runtime="kubernetes").lead == 82.0
    assert a_start(phases=phases).total == 82.0


def test_phases_come_in_the_order_of_a_start() -> None:
    mixed = {"load": 1.0, "another": 2.0, "schedule": 3.0, "known prompt": 4.0}
    assert list(in_order(mixed)) == ["schedule", "load", "known prompt", "another"]
