"""A finding as a page for a browser: the answer first, then what it rests on, with plots."""

from __future__ import annotations

from collections.abc import Iterator

from headrace.experiments.finding import Finding
from headrace.experiments.page import subject
from headrace.experiments.plots import painted_plot
from headrace.pages.html import Section, Table, page


def report(finding: Finding) -> str:
    """Return the whole document."""
    return page(f"{finding.name}: {finding.question}", list(_sections(finding)), subject(finding))


def _sections(finding: Finding) -> Iterator[Section]:
    said = finding.conclusion
    yield Section("Conclusion", said.words, tables=said.tables)
    if said.doubts:
        yield Section("Doubts", said.doubts)
    for plot in said.plots:
        yield Section(plot.heading, (plot.reading,), painted_plot(plot))
    if said.supports:
        rows = tuple((one.setting, str(one.value), one.says) for one in said.supports)
        table = Table(("setting", "value", "what was measured"), rows, words=(0, 1, 2))
        yield Section("What it says about settings", tables=(table,))
    if said.next:
        yield Section("Next", (said.next,))
    yield Section("How it was measured", tables=(_settings(finding),))


def _settings(finding: Finding) -> Table:
    rows = [(name, str(value)) for name, value in finding.case.settings.items()]
    rows += [(f"run {number}", folder) for number, folder in enumerate(finding.runs, 1)]
    return Table(("what", "value"), tuple(rows), words=(0, 1))
