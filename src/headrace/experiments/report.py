"""A finding as a page for a browser: the answer first, then what it rests on, with plots."""

from __future__ import annotations

from collections.abc import Iterator

from headrace.experiments.finding import Finding
from headrace.experiments.page import subject
from headrace.experiments.plots import painted_plot
from headrace.experiments.settings import plain, written
from headrace.experiments.words import sentence
from headrace.pages.html import Section, Table, page


def report(finding: Finding) -> str:
    """Return the whole document."""
    return page(f"{finding.name}: {finding.question}", list(_sections(finding)), subject(finding))


def _sections(finding: Finding) -> Iterator[Section]:
    said = finding.conclusion
    yield Section("Conclusion", tuple(map(sentence, said.words)), tables=said.tables)
    for plot in said.plots:
        yield Section(plot.heading, (plot.reading,), painted_plot(plot))
    if said.doubts:
        yield Section("Doubts", tuple(map(sentence, said.doubts)))
    if said.supports:
        rows = tuple((one.setting, plain(one.value), one.says) for one in said.supports)
        table = Table(("setting", "value", "what was measured"), rows, words=(0, 1, 2))
        yield Section("What it says about settings", tables=(table,))
    if said.next:
        yield Section("Next", (sentence(said.next),))
    yield Section("How it was measured", tuple(_how(finding)))


def _how(finding: Finding) -> Iterator[str]:
    yield f"Knobs: {written(finding.case.settings)}."
    if finding.runs:
        yield f"Runs, each in a folder beside this page: {', '.join(finding.runs)}."
