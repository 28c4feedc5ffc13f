"""How far a long step is: bars on a terminal, now and then a plain line elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn
from rich.progress import Progress as Bars

from headrace.fleet.units import format_size
from headrace.models.progress import Listener, Progress

_VERBS = {"fetch": "fetching", "convert": "converting", "verify": "verifying"}
_LINES = 4
"""Lines for one item where there is no terminal: at each quarter."""


@contextmanager
def progress_bars() -> Iterator[Listener]:
    """Give a listener that shows progress on standard error for as long as the block runs."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(console)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
    )
    with Bars(*columns, console=console) as bars:
        yield _Bars(bars)


def _words(progress: Progress) -> str:
    verb = _VERBS.get(progress.step, progress.step)
    return f"{verb} {progress.item}{f': {progress.note}' if progress.note else ''}"


class _Bars:
    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._tasks: dict[tuple[str, str], int] = {}

    def __call__(self, progress: Progress) -> None:
        if progress.step not in _VERBS:
            self._bars.console.print(_words(progress), highlight=False)
            return
        key = (progress.step, progress.item)
        if key not in self._tasks:
            self._tasks[key] = self._bars.add_task(_words(progress), total=progress.total)
        task = self._bars.tasks[self._tasks[key]].id
        self._bars.update(task, completed=progress.done, total=progress.total)


class _Lines:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._shown: set[tuple[str, str, int]] = set()

    def __call__(self, progress: Progress) -> None:
        quarter = progress.done * _LINES // progress.total if progress.total else 0
        key = (progress.step, progress.item, quarter)
        if key in self._shown and not progress.note:
            return
        self._shown.add(key)
        total = (
            f" {format_size(progress.done)} of {format_size(progress.total)}"
            if progress.total
            else ""
        )
        self._console.print(f"{_words(progress)}{total}", highlight=False, soft_wrap=True)
