"""`headrace preflight`: what will break, before a cluster finds out; for anybody's manifests."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Level(StrEnum):
    """From which severity on the exit status is 1."""

    WARNING = "warning"
    ERROR = "error"


def preflight(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="Manifests, folders, fleet files; - is standard input."),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    sarif: Annotated[
        Path | None, typer.Option(help="Also write SARIF 2.1.0 there, for code scanning.")
    ] = None,
    fail_on: Annotated[Level, typer.Option(help="What ends with status 1.")] = Level.ERROR,
    rules: Annotated[bool, typer.Option("--rules", help="Print the rules as Markdown.")] = False,
) -> None:
    """Find what will break in manifests and fleet files, with the line, the fix and the fact."""
    from headrace.preflight.check import preflight as check  # noqa: PLC0415 - verbs start faster
    from headrace.preflight.machine import as_json, as_sarif  # noqa: PLC0415 - as above
    from headrace.preflight.reference import rules_reference  # noqa: PLC0415 - as above
    from headrace.preflight.text import as_text  # noqa: PLC0415 - as above

    if rules:
        typer.echo(rules_reference(), nl=False)
        return
    if not paths:
        raise typer.BadParameter("say what to look at: files, folders, or - for standard input")
    report = check(paths, sys.stdin.read() if Path("-") in paths else "")
    if sarif:
        sarif.write_text(json.dumps(as_sarif(report), indent=2) + "\n", encoding="utf-8")
    typer.echo(json.dumps(as_json(report), indent=2) + "\n" if json_ else as_text(report), nl=False)
    if report.fails(fail_on.value):
        raise typer.Exit(1)
