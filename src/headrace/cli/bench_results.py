"""What comes of a run of `headrace bench`: figures on the terminal, files beside the answers."""

from __future__ import annotations

from pathlib import Path

import msgspec
import typer
from rich.console import Console

from headrace.bench.folder import SUMMARY
from headrace.bench.run import Run
from headrace.bench.summary import Summary, summarise
from headrace.bench.validity import judge
from headrace.models.lock import replace_file

STDOUT = Path("-")


def show(run: Run, folder: Path | None, console: Console, as_json: Path | None) -> Summary:
    """Show a run's figures and what to think of them, write summary and report, say where."""
    summary = summarise(run)
    _print(run, summary, console)
    if folder is not None:
        try:
            replace_file(folder / SUMMARY, _pretty(summary))
        except OSError as error:
            typer.echo(f"headrace: {folder}: {error.strerror}: no summary was kept", err=True)
        else:
            console.print(f"kept in {folder}", highlight=False, soft_wrap=True)
    if as_json == STDOUT:
        typer.echo(_pretty(summary))
    elif as_json is not None:
        as_json.write_bytes(_pretty(summary))
    return summary


def _print(run: Run, summary: Summary, console: Console) -> None:
    console.print_json(data=msgspec.to_builtins(summary))
    for doubt in judge(run, summary):
        console.print(str(doubt))


def _pretty(summary: Summary) -> bytes:
    return msgspec.json.format(msgspec.json.encode(summary), indent=2) + b"\n"
