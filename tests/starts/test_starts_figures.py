"""Figures for metrics: of one subject, with sums that add up."""

from __future__ import annotations

from starts_kit import a_start

from headrace.starts.figures import TOTAL, PhaseFigures, figures, lead
from headrace.starts.summary import subject_of


def test_figures_of_a_subject() -> None:
    starts = [
        a_start(0, phases={"import": 10.0, "load": 2.0}),
        a_start(1, phases={"import": 20.0}),
        a_start(2, phases={"import": 99.0}, outcome="failed"),
        a_start(3, phases={"import": 500.0}, emulated=True),
    ]
    found = figures(starts, subject_of(starts[0]))
    assert found is not None
    assert (found.ready, found.failed, found.stopped) == (2, 1, 0)
    assert found.phases["import"] == PhaseFigures(2, 30.0, 15.0, 19.0, 19.9)
    assert found.phases["load"] == PhaseFigures(1, 2.0, 2.0, 2.0, 2.0)
    assert found.phases[TOTAL] == PhaseFigures(2, 32.0, 16.0, 19.2, 19.92)  # 12 and 20 s


def test_nothing_is_known_of_what_never_started() -> None:
    assert figures([], subject_of(a_start())) is None
    assert lead([a_start(outcome="failed")], subject_of(a_start())) is None


def test_failures_alone_are_counted() -> None:
    found = figures([a_start(outcome="failed")], subject_of(a_start()))
    assert found is not None
    assert (found.ready, found.failed, found.phases) == (0, 1, {})
