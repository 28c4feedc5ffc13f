"""`headrace up`: serve a fleet in the foreground until Ctrl-C or `headrace down`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headrace.cli.files import load_checked
from headrace.cli.progress import progress_bars


def up(file: Annotated[Path, typer.Argument(help="The fleet file.")]) -> None:
    """Prepare what the fleet needs, start it, and serve until Ctrl-C; then drain and stop."""
    from headrace.local.up import up as serve  # noqa: PLC0415 - as above
    from headrace.view.display import display_for  # noqa: PLC0415 - the other verbs start faster

    raise typer.Exit(serve(load_checked(file), display_for(), progress_bars))
