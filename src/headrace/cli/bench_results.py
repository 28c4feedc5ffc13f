"""What comes of a run of `headrace bench`: figures on the terminal, files beside the answers."""

from __future__ import annotations

from pathlib import Path

import msgspec
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from headrace.bench.folder import REPORT, SUMMARY, read
from headrace.bench.judged import Judged
from headrace.bench.page import page
from headrace.bench.report import html
from headrace.bench.run import Run
from headrace.bench.summary import Summary
from headrace.bench.versus import Comparison
from headrace.models.lock import replace_file


def show(found: Judged, folder: Path, console: Console, *, as_json: bool) -> bool:
    """Show a run's figures and what to think of them, write summary and report, say where.

    With `as_json` the summary is on standard output; `console` is then to be elsewhere.
    Returns False if a file of it could not be written; that was said.
    """
    console.print(page(found), highlight=False)
    try:
        replace_file(folder / SUMMARY, _pretty(found.summary))
        replace_file(folder / REPORT, html(found).encode())
    except OSError as error:
        typer.echo(f"headrace: {folder}: {error.strerror}: no report was kept", err=True)
        kept = False
    else:
        console.print(f"kept in {folder / REPORT}", highlight=False, soft_wrap=True)
        kept = True
    if as_json:
        typer.echo(_pretty(found.summary), nl=False)
    return kept


def read_told(folder: Path) -> Run:
    """Return a run; what is damaged in its folder is said on standard error. FolderError."""
    damage: list[str] = []
    run = read(folder, damage)
    for line in damage:
        typer.echo(f"headrace: warning: left out: {line}", err=True)
    return run


def show_comparison(found: Comparison, console: Console) -> None:
    """Show two runs side by side, what is sure first, what leaves nothing of them before all."""
    for doubt in found.doubts:
        console.print(Text(doubt, style="bold red"))
    for one in found.unlike:
        console.print(Text(f"asked differently: {one}", style="yellow"))
    table = Table(title=f"{found.before} -> {found.after}", title_justify="left", box=None)
    table.add_column("")
    table.add_column("before -> after")
    for row in found.rows:
        table.add_row(row.name, row.words, style="bold" if row.difference.real else "")
    console.print(table)
    for sentence in found.sentences:
        console.print(sentence, highlight=False)


def _pretty(summary: Summary) -> bytes:
    return msgspec.json.format(msgspec.json.encode(summary), indent=2) + b"\n"
